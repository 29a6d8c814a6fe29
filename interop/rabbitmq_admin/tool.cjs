// rabbitmq-admin of npm, a client of the management API. It speaks the lines that interop/README.md tells of.
"use strict";

const assert = require("node:assert");
const { RabbitAdmin } = require("rabbitmq-admin");

const host = process.env.MANAGEMENT_URL;
const admin = RabbitAdmin({ rabbitHost: host });
let failures = 0;

async function check(name, block) {
  try {
    await block();
    console.log(`PASS ${name}`);
  } catch (error) {
    failures += 1;
    console.error(error.stack);
    console.log(`FAIL ${name} ${String(error.message).replace(/\s+/g, " ")}`);
  }
}

async function names(list) {
  const found = await list;
  return (found.items ?? found).map((each) => each.name);
}

async function main() {
  console.log(`VERSION rabbitmq-admin ${require("rabbitmq-admin/package.json").version}`);

  await check("lists", async () => {
    assert.ok((await admin.getOverview()).rabbitmq_version);
    assert.ok((await admin.getNodes())[0].running);
    assert.ok((await names(admin.listVhosts())).includes("/"));
    assert.ok((await names(admin.getExchanges())).includes("amq.topic"));
    assert.deepStrictEqual(await names(admin.getConnections()), []);
    assert.deepStrictEqual(await names(admin.getChannels()), []);
    assert.ok(Array.isArray(await admin.getConsumers()));
    assert.ok(Array.isArray(await admin.getExtensions()));
  });

  await check("topology", async () => {
    await admin.createExchange("/", { name: "x", type: "topic", durable: true });
    await admin.createQueue("/", "q", { durable: true, arguments: { "x-max-length": 100 } });
    await admin.createBinding({ vhost: "/", source: "x", destination: "q", routingKey: "a.#" });
    assert.strictEqual((await admin.getQueue("/", "q")).arguments["x-max-length"], 100);
    const bindings = await admin.getQueueBindings("/", "q");
    assert.ok(bindings.some((binding) => binding.routing_key === "a.#"));
  });

  await check("messages", async () => {
    const message = { routing_key: "a.b", payload: "hello", payload_encoding: "string", properties: {} };
    assert.strictEqual((await admin.publishToExchange("/", "x", message)).routed, true);
  });

  await check("purge-delete", async () => {
    await admin.deleteQueue("/", "q", {});
    await admin.deleteExchange("/", "x");
    assert.ok(!(await names(admin.getQueues())).includes("q"));
  });

  await check("users", async () => {
    await admin.createVhost("v");
    await admin.setUserPermissions("v", "guest", { configure: ".*", write: ".*", read: ".*" });
    const permissions = await admin.getUserPermissions("v", "guest");
    assert.strictEqual(permissions.configure, ".*");
    await admin.deleteVhost("v");
  });

  console.log("NA policies no method for it");

  await check("definitions", async () => {
    assert.ok((await names((await admin.getDefinitions()).users)).includes("guest"));
  });

  await check("errors", async () => {
    const stranger = RabbitAdmin({ rabbitHost: host, pass: "wrong" });
    await assert.rejects(() => stranger.getOverview(), /401/);
    await assert.rejects(() => admin.getQueue("/", "nope"), /404|not found/i);
  });

  process.exit(failures ? 1 : 0);
}

main();
