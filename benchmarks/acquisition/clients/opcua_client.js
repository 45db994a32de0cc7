// Is told of COUNT doubles of opcua_server by node-opcua (npm install node-opcua), for SECONDS after a first few.
// node opcua_client.js PORT COUNT PERIOD SECONDS; prints the processor time in seconds and how many values came in it.
const {
    AttributeIds, ClientMonitoredItemGroup, ClientSubscription, MessageSecurityMode, OPCUAClient, SecurityPolicy,
    TimestampsToReturn,
} = require("node-opcua");
const [port, count, period, seconds] = process.argv.slice(2).map(Number);
const sleep = (s) => new Promise((done) => setTimeout(done, 1000 * s));

async function main() {
    const client = OPCUAClient.create({
        endpointMustExist: false, securityMode: MessageSecurityMode.None, securityPolicy: SecurityPolicy.None,
        connectionStrategy: { maxRetry: 0 },
    });
    await client.connect(`opc.tcp://127.0.0.1:${port}`);
    const session = await client.createSession();
    const subscription = ClientSubscription.create(session, {
        requestedPublishingInterval: period, maxNotificationsPerPublish: 0, publishingEnabled: true,
        requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10, priority: 1,
    });
    let values = 0, sum = 0;
    for (let i = 0; i < count; i += 1000) {
        const items = [];
        for (let j = i; j < Math.min(count, i + 1000); j++)
            items.push({ nodeId: `ns=1;s=v${j}`, attributeId: AttributeIds.Value });
        const group = ClientMonitoredItemGroup.create(
            subscription, items, { samplingInterval: period, queueSize: 1, discardOldest: true }, TimestampsToReturn.Both);
        group.on("changed", (item, value) => { values++; sum += value.value.value; });
        await new Promise((done, fail) => { group.on("initialized", done); group.on("err", fail); });
    }
    await sleep(2.5);
    values = 0;
    const begun = process.cpuUsage();
    await sleep(seconds);
    const used = process.cpuUsage(begun);
    console.log(((used.user + used.system) / 1e6).toFixed(6), values);
    process.exit(sum < 0 ? 1 : 0);
}

main().catch((error) => { console.error(String(error)); process.exit(1); });
