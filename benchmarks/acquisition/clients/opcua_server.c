/* An OPC UA server by open62541: COUNT doubles "v0", "v1" ... in namespace 1, all of them new every PERIOD ms.
   opcua_server COUNT PERIOD [KEPT]; prints its port, then serves until its standard input ends. It keeps the history of
   the first KEPT of them and tells seven values of it at a time.
   cc -O2 opcua_server.c -o opcua_server -lopen62541 */
#include <arpa/inet.h>
#include <open62541/plugin/historydata/history_data_backend_memory.h>
#include <open62541/plugin/historydata/history_data_gathering_default.h>
#include <open62541/plugin/historydata/history_database_default.h>
#include <open62541/plugin/log_stdout.h>
#include <open62541/server.h>
#include <open62541/server_config_default.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int count;
static double step;

static void next(UA_Server *server, void *unused) {
    (void)unused;
    step += 1;
    UA_DateTime now = UA_DateTime_now();
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", i);
        UA_Double number = step + i;
        UA_DataValue value;
        UA_DataValue_init(&value);
        UA_Variant_setScalar(&value.value, &number, &UA_TYPES[UA_TYPES_DOUBLE]);
        value.hasValue = value.hasSourceTimestamp = true;
        value.sourceTimestamp = now;
        UA_Server_writeDataValue(server, UA_NODEID_STRING(1, name), value);
    }
}

static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int end = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(end, (struct sockaddr *)&address, length) || getsockname(end, (struct sockaddr *)&address, &length)) exit(1);
    close(end);
    return ntohs(address.sin_port);
}

static int keep(UA_Server *server, UA_HistoryDataGathering gathering, const char *name) {
    UA_HistorizingNodeIdSettings setting;
    memset(&setting, 0, sizeof setting);
    setting.historizingBackend = UA_HistoryDataBackend_Memory(1, 100);
    setting.maxHistoryDataResponseSize = 7;
    setting.historizingUpdateStrategy = UA_HISTORIZINGUPDATESTRATEGY_VALUESET;
    UA_NodeId node = UA_NODEID_STRING(1, (char *)name);
    return gathering.registerNodeId(server, gathering.context, &node, setting);
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) return 2;
    count = atoi(argv[1]);
    int kept = argc == 4 ? atoi(argv[3]) : 0;
    int port = free_port();
    char url[64];
    snprintf(url, sizeof url, "opc.tcp://127.0.0.1:%d", port);
    UA_ServerConfig first;
    memset(&first, 0, sizeof first);
    first.logging = UA_Log_Stdout_new(UA_LOGLEVEL_FATAL);
    UA_ServerConfig_setMinimal(&first, port, NULL);
    UA_Server *server = UA_Server_newWithConfig(&first);
    UA_ServerConfig *config = UA_Server_getConfig(server);
    UA_Array_delete(config->serverUrls, config->serverUrlsSize, &UA_TYPES[UA_TYPES_STRING]);
    UA_String only = UA_String_fromChars(url);
    config->serverUrls = NULL;
    config->serverUrlsSize = 0;
    UA_Array_appendCopy((void **)&config->serverUrls, &config->serverUrlsSize, &only, &UA_TYPES[UA_TYPES_STRING]);
    UA_String_clear(&only);
    config->publishingIntervalLimits.min = config->samplingIntervalLimits.min = 10;
    config->maxNotificationsPerPublish = 1000;
    UA_HistoryDataGathering gathering = UA_HistoryDataGathering_Default(1);
    if (kept) config->historyDatabase = UA_HistoryDatabase_default(gathering);
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", i);
        UA_Double zero = 0;
        UA_VariableAttributes attributes = UA_VariableAttributes_default;
        UA_Variant_setScalar(&attributes.value, &zero, &UA_TYPES[UA_TYPES_DOUBLE]);
        attributes.accessLevel = UA_ACCESSLEVELMASK_READ | UA_ACCESSLEVELMASK_WRITE;
        attributes.historizing = i < kept;
        if (i < kept) attributes.accessLevel |= UA_ACCESSLEVELMASK_HISTORYREAD;
        if (UA_Server_addVariableNode(server, UA_NODEID_STRING(1, name), UA_NODEID_NUMERIC(0, UA_NS0ID_OBJECTSFOLDER),
                                      UA_NODEID_NUMERIC(0, UA_NS0ID_ORGANIZES), UA_QUALIFIEDNAME(1, name),
                                      UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATAVARIABLETYPE), attributes, NULL, NULL))
            return 1;
        if (i < kept && keep(server, gathering, name)) return 1;
    }
    next(server, NULL);
    UA_Server_addRepeatedCallback(server, next, NULL, atof(argv[2]), NULL);
    if (UA_Server_run_startup(server)) return 1;
    printf("%d\n", port);
    fflush(stdout);
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (poll(&input, 1, 0) == 0) UA_Server_run_iterate(server, true);
    UA_Server_run_shutdown(server);
    UA_Server_delete(server);
    return 0;
}
