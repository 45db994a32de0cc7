/* Is told of COUNT doubles of opcua_server by open62541, for SECONDS after a first few.
   opcua_client PORT COUNT PERIOD SECONDS; prints the processor time in seconds and how many values came in it.
   cc -O2 opcua_client.c -o opcua_client -lopen62541 */
#include <open62541/client_config_default.h>
#include <open62541/client_subscriptions.h>
#include <open62541/plugin/log_stdout.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static long values;
static double sum;

static void changed(UA_Client *client, UA_UInt32 subscription, void *a, UA_UInt32 item, void *b, UA_DataValue *value) {
    (void)client, (void)subscription, (void)a, (void)item, (void)b;
    values++;
    if (value->value.type == &UA_TYPES[UA_TYPES_DOUBLE]) sum += *(UA_Double *)value->value.data;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void iterate_for(UA_Client *client, double seconds) {
    struct timespec now, begun;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    do {
        UA_Client_run_iterate(client, 50);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - begun.tv_sec + (now.tv_nsec - begun.tv_nsec) / 1e9 < seconds);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int count = atoi(argv[2]);
    double period = atof(argv[3]);
    char url[64];
    snprintf(url, sizeof url, "opc.tcp://127.0.0.1:%s", argv[1]);
    UA_ClientConfig config;
    memset(&config, 0, sizeof config);
    config.logging = UA_Log_Stdout_new(UA_LOGLEVEL_FATAL);
    UA_ClientConfig_setDefault(&config);
    UA_Client *client = UA_Client_newWithConfig(&config);
    if (UA_Client_connect(client, url)) return 1;
    UA_CreateSubscriptionRequest request = UA_CreateSubscriptionRequest_default();
    request.requestedPublishingInterval = period;
    request.maxNotificationsPerPublish = 0;
    UA_UInt32 subscription = UA_Client_Subscriptions_create(client, request, NULL, NULL, NULL).subscriptionId;
    UA_MonitoredItemCreateRequest *items = calloc(count, sizeof *items);
    UA_Client_DataChangeNotificationCallback *callbacks = calloc(count, sizeof *callbacks);
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", i);
        items[i] = UA_MonitoredItemCreateRequest_default(UA_NODEID_STRING_ALLOC(1, name));
        items[i].requestedParameters.samplingInterval = period;
        callbacks[i] = changed;
    }
    for (int i = 0; i < count; i += 1000) {
        UA_CreateMonitoredItemsRequest part;
        UA_CreateMonitoredItemsRequest_init(&part);
        part.subscriptionId = subscription;
        part.timestampsToReturn = UA_TIMESTAMPSTORETURN_BOTH;
        part.itemsToCreate = items + i;
        part.itemsToCreateSize = count - i < 1000 ? count - i : 1000;
        UA_CreateMonitoredItemsResponse answer =
            UA_Client_MonitoredItems_createDataChanges(client, part, NULL, callbacks + i, NULL);
        if (answer.responseHeader.serviceResult) return 1;
        UA_CreateMonitoredItemsResponse_clear(&answer);
    }
    iterate_for(client, 2.5);
    values = 0;
    double begun = cpu_s();
    iterate_for(client, atof(argv[4]));
    printf("%.6f %ld\n", cpu_s() - begun, values);
    UA_Client_disconnect(client);
    return sum < 0;
}
