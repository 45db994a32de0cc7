/* Reads 124 holding registers as 62 floats by libmodbus, over connections taken in turn (its calls block).
   modbus_client PORT CONNECTIONS READS [PERIOD]: one read after another, or every connection once in PERIOD ms, READS
   in all; prints the processor time of the reads in seconds and a sum of the values.
   cc -O2 modbus_client.c -o modbus_client -lmodbus */
#include <modbus/modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void wait_until(struct timespec begin, long long after_ns) {
    long long ns = begin.tv_nsec + after_ns;
    struct timespec due = {begin.tv_sec + ns / 1000000000, ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) return 2;
    int connections = atoi(argv[2]), reads = atoi(argv[3]);
    long long apart_ns = argc > 4 ? atoi(argv[4]) * 1000000LL / connections : 0;
    struct timespec begin;
    modbus_t *bus[128];
    for (int i = 0; i < connections && i < 128; i++) {
        bus[i] = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
        modbus_set_slave(bus[i], 1);
        if (modbus_connect(bus[i])) return 1;
    }
    double sum = 0, begun = 0;
    for (int n = -connections; n < reads; n++) {
        uint16_t words[124];
        if (n == 0) {
            begun = cpu_s();
            clock_gettime(CLOCK_MONOTONIC, &begin);
        }
        if (n > 0 && apart_ns) wait_until(begin, n * apart_ns);
        if (modbus_read_registers(bus[(n + connections) % connections], 0, 124, words) != 124) return 1;
        for (int i = 0; i < 62; i++) {
            union { uint32_t bits; float value; } number = {(uint32_t)words[2 * i] << 16 | words[2 * i + 1]};
            sum += number.value;
        }
    }
    printf("%.6f %.1f\n", cpu_s() - begun, sum);
    return 0;
}
