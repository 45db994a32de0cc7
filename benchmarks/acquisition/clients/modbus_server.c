/* A Modbus TCP server by libmodbus: COUNT big-endian floats in holding registers, for any number of clients.
   modbus_server COUNT [PERIOD]: they stand still, or move a little every PERIOD ms when somebody asks; the number of
   that move is in the registers after them. Prints its port, then serves until its standard input ends.
   cc -O2 modbus_server.c -o modbus_server -lmodbus */
#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 128

static void put(modbus_mapping_t *map, int i, float number) { /* libmodbus 3.1.6 swaps the bytes of its "abcd" here */
    union { float value; uint32_t bits; } same = {number};
    map->tab_registers[2 * i] = same.bits >> 16;
    map->tab_registers[2 * i + 1] = same.bits & 0xFFFF;
}

static void move(modbus_mapping_t *map, int count, int period_ms) {
    static uint32_t chance = 1, moves;
    static int64_t due_ms;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = now.tv_sec * 1000LL + now.tv_nsec / 1000000;
    if (now_ms < due_ms) return;
    due_ms = now_ms + period_ms;
    for (int i = 0; i < count; i++) {
        chance = chance * 1664525u + 1013904223u;
        put(map, i, 20.0f + i % 50 + (chance >> 8) / 16777216.0f);
    }
    put(map, count, moves++);
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    int count = atoi(argv[1]), period_ms = argc > 2 ? atoi(argv[2]) : 0;
    modbus_t *bus = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 2 * count + 2, 0);
    for (int i = 0; i < count; i++) put(map, i, 20.0f + i % 50);

    int listener = modbus_tcp_listen(bus, CLIENTS);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &length)) return 1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    struct pollfd ends[CLIENTS + 2] = {{.fd = listener, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    int used = 2;
    for (;;) {
        if (poll(ends, used, -1) < 0 || ends[1].revents) return 0;
        for (int i = 2; i < used; i++) {
            if (!ends[i].revents) continue;
            uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
            modbus_set_socket(bus, ends[i].fd);
            int size = modbus_receive(bus, request);
            if (size > 0 && period_ms) move(map, count, period_ms);
            if (size > 0) modbus_reply(bus, request, size, map);
            if (size < 0) {
                close(ends[i].fd);
                ends[i--] = ends[--used];
            }
        }
        if (ends[0].revents && used < CLIENTS + 2) {
            int client = modbus_tcp_accept(bus, &listener);
            if (client >= 0) ends[used++] = (struct pollfd){.fd = client, .events = POLLIN};
        }
    }
}
