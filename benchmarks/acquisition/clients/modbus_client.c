/* Reads 124 holding registers as 62 floats by libmodbus, over connections taken in turn (its calls block).
   modbus_client PORT CONNECTIONS READS; prints the processor time of the reads in seconds and a sum of the values.
   cc -O2 modbus_client.c -o modbus_client -lmodbus */
#include <modbus/modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int connections = atoi(argv[2]), reads = atoi(argv[3]);
    modbus_t *bus[128];
    for (int i = 0; i < connections && i < 128; i++) {
        bus[i] = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
        modbus_set_slave(bus[i], 1);
        if (modbus_connect(bus[i])) return 1;
    }
    double sum = 0, begun = 0;
    for (int n = -connections; n < reads; n++) {
        uint16_t words[124];
        if (n == 0) begun = cpu_s();
        if (modbus_read_registers(bus[(n + connections) % connections], 0, 124, words) != 124) return 1;
        for (int i = 0; i < 62; i++) {
            union { uint32_t bits; float value; } number = {(uint32_t)words[2 * i] << 16 | words[2 * i + 1]};
            sum += number.value;
        }
    }
    printf("%.6f %.1f\n", cpu_s() - begun, sum);
    return 0;
}
