// Reads 124 holding registers as 62 floats by node's modbus-serial (npm install modbus-serial), over several
// connections at once. node modbus_client.js PORT CONNECTIONS READS [PERIOD]: one read after another, or every
// connection once in PERIOD ms, READS in all; prints the processor time of the reads in seconds and a sum of the values.
const ModbusRTU = require("modbus-serial");
const [port, connections, reads, period] = process.argv.slice(2).map(Number);

function until(due) {
    const wait = due - performance.now();
    return wait > 0 ? new Promise((resolve) => setTimeout(resolve, wait)) : undefined;
}

async function main() {
    const clients = [];
    for (let i = 0; i < connections; i++) {
        const client = new ModbusRTU();
        await client.connectTCP("127.0.0.1", { port });
        client.setID(1);
        await client.readHoldingRegisters(0, 124);
        clients.push(client);
    }
    let left = reads, sum = 0;
    const begun = process.cpuUsage(), begin = performance.now();
    await Promise.all(clients.map(async (client, i) => {
        for (let due = begin + (period || 0) * i / connections; left-- > 0; due += period) {
            if (period) await until(due);
            const { buffer } = await client.readHoldingRegisters(0, 124);
            for (let i = 0; i < 62; i++) sum += buffer.readFloatBE(4 * i);
        }
    }));
    const used = process.cpuUsage(begun);
    console.log(((used.user + used.system) / 1e6).toFixed(6), sum.toFixed(1));
    process.exit(0);
}

main().catch((error) => { console.error(String(error)); process.exit(1); });
