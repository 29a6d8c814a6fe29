"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");

const { BrokerError, start } = require("amqpbroker");
const { RawConnection } = require("./raw.js");

let broker;

before(async () => {
  broker = await start();
});
after(() => broker.stop());

/** Publish a message by HTTP: the package and its tests need no client library. */
async function publish(vhost, queue, payload, properties = {}) {
  const path = `/exchanges/${encodeURIComponent(vhost.name)}/amq.default/publish`;
  return broker.api("POST", path, { routing_key: queue, payload, payload_encoding: "string", properties });
}

async function declare(vhost, queue, argumentsOf = {}) {
  const path = `/queues/${encodeURIComponent(vhost.name)}/${queue}`;
  await broker.api("PUT", path, { durable: true, arguments: argumentsOf });
}

test("each vhost has a URL of its own and goes when it is deleted", async () => {
  const [first, second] = [await broker.vhost(), await broker.vhost("named / ü")];
  assert.match(first.url, new RegExp(`^amqp://guest:guest@127\\.0\\.0\\.1:${broker.port}/test-`));
  assert.ok(second.url.endsWith("/named%20%2F%20%C3%BC"));
  assert.equal(broker.url, `amqp://guest:guest@127.0.0.1:${broker.port}/%2F`);
  await declare(first, "q");
  assert.deepEqual(await first.queues(), [{ vhost: first.name, name: "q", ready: 0, unacked: 0, consumers: 0 }]);
  assert.deepEqual(await second.queues(), []);
  await first.delete();
  await second.delete();
  const names = (await broker.api("GET", "/vhosts")).map(({ name }) => name);
  assert.deepEqual(names, ["/"]);
});

test("messages are seen where they are, and where they were published", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "orders");
  await publish(vhost, "orders", "a lamp", { priority: 3, headers: { tries: 1 } });
  await publish(vhost, "nobody", "lost");
  await vhost.waitUntil({ queue: "orders", ready: 1, unacked: 0 });
  const [order] = await vhost.messages("orders");
  assert.equal(order.body.toString(), "a lamp");
  assert.deepEqual(order.headers, { tries: 1 });
  assert.equal(order.properties.priority, 3);
  assert.equal(order.routingKey, "orders");
  const published = await vhost.published({ routingKey: "orders", count: 1 });
  assert.deepEqual(published.map(({ queues }) => queues), [["orders"]]);
  assert.deepEqual((await vhost.unroutable()).map(({ body }) => body.toString()), ["lost"]);
  assert.deepEqual(await vhost.channelErrors(), []);
  await vhost.delete();
});

test("delayed messages have the time at which they are ready", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "later", { "x-delivery-time-header": "not-before" });
  const due = (await broker.clock.now()).getTime() + 3_600_000;
  await publish(vhost, "later", "wake up", { headers: { "not-before": due } });
  const [message] = await vhost.delayed("later");
  assert.equal(message.body.toString(), "wake up");
  assert.deepEqual(message.due, new Date(due));
  assert.deepEqual(await vhost.messages("later"), []);
  await assert.rejects(vhost.delayed("absent"), { status: 404 });
  await vhost.delete();
});

test("dead letters are moved back to their queue", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "graves");
  const dead = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "graves", "x-max-length": 1 };
  await declare(vhost, "jobs", dead);
  for (const tenant of ["a", "b", "c"]) await publish(vhost, "jobs", tenant, { headers: { tenant } });
  await vhost.waitUntil({ queue: "graves", ready: 2 });
  const counts = { moved: 1, failed: 0, skipped: 1, lastFailure: "" };
  assert.deepEqual(await vhost.redrive("graves", { reason: "maxlen", headers: { tenant: "a" } }), counts);
  const [job] = await vhost.messages("jobs");
  assert.equal(job.body.toString(), "a");
  assert.deepEqual(job.headers, { tenant: "a" });
  await assert.rejects(vhost.redrive("absent"), { status: 404 });
  await vhost.delete();
});

test("locked messages are those that are delivered and not settled", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "jobs", { "x-consumer-timeout": 3_600_000, "x-consumer-timeout-action": "return" });
  await publish(vhost, "jobs", "long job");
  assert.deepEqual(await vhost.locked("jobs"), []);
  await assert.rejects(vhost.locked("absent"), { status: 404 });
  const client = new RawConnection(broker, vhost);
  client.get("jobs");
  await vhost.waitUntil({ queue: "jobs", unacked: 1 });
  const [{ message, connection, msLeft, ...rest }] = await vhost.locked("jobs");
  assert.deepEqual(rest, { consumer: null, channel: 1, deliveryTag: 1, action: "return" });
  assert.equal(message.body.toString(), "long job");
  assert.match(connection, /^127\.0\.0\.1:\d+ -> /);
  assert.ok(msLeft > 3_540_000 && msLeft <= 3_600_000, msLeft);
  client.close();
  await vhost.waitUntil({ queue: "jobs", ready: 1 });
  await vhost.delete();
});

test("a lock runs out just before the acknowledgement arrives", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "jobs", { "x-consumer-timeout": 3_600_000, "x-consumer-timeout-action": "return" });
  await publish(vhost, "jobs", "long job");
  const fault = await vhost.faults.expireLock();
  const client = new RawConnection(broker, vhost);
  client.get("jobs");
  await vhost.waitUntil({ queue: "jobs", unacked: 1 });
  client.ack(1);
  await vhost.waitUntil({ queue: "jobs", ready: 1, unacked: 0 });
  assert.equal(await fault.struck(), 1);
  assert.equal((await vhost.messages("jobs"))[0].redelivered, true);
  client.close();
  await fault.clear();
  await vhost.delete();
});

test("an expectation that fails says what is there", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "orders");
  await assert.rejects(vhost.waitUntil({ queue: "orders", ready: 1, timeout: 0.05 }), (error) => {
    assert.ok(error instanceof BrokerError);
    assert.equal(error.status, 409);
    return /queue 'orders'.* has ready=0/.test(error.message);
  });
  await vhost.delete();
});

test("the clock advances, and what is due happens", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "later", { "x-message-ttl": 3_600_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late" });
  await declare(vhost, "late");
  await publish(vhost, "later", "1");
  const frozen = await broker.clock.freeze();
  assert.equal((await broker.clock.advance({ hours: 1, seconds: 1 })) - frozen, 3_601_000);
  assert.deepEqual((await vhost.messages("late")).map(({ body }) => body.toString()), ["1"]);
  await broker.clock.resume();
  assert.ok((await broker.clock.now()) > frozen);
  await vhost.delete();
});

test("faults are injected, counted and cleared", async () => {
  const vhost = await broker.vhost();
  const nack = await vhost.faults.nack({ publish: 3, routingKey: "orders", times: 2 });
  assert.equal(nack.kind, "nack");
  assert.match(nack.description, /nack/);
  assert.equal(await nack.struck(), 0);
  await broker.faults.only({ user: "guest" }).refuseDeclare({ queue: "q", code: 403 });
  await broker.faults.block({ resource: "disk" });
  const kinds = async () => (await broker.api("GET", "/testing/faults")).faults.map(({ kind }) => kind).sort();
  assert.deepEqual(await kinds(), ["block", "nack", "refuse_declare"]);
  await broker.faults.unblock();
  await nack.clear();
  assert.deepEqual(await kinds(), ["refuse_declare"]);
  await broker.faults.clear();
  assert.deepEqual([await kinds(), await broker.faults.happened()], [[], []]);
  await assert.rejects(broker.faults.nack({ colour: "red" }), { status: 400 });
  await vhost.delete();
});

test("every fault of the broker has a method", async () => {
  for (const name of ["reset", "drop", "restart", "stopReading", "stopWriting", "oneByteWrites", "withholdConfirms"]) {
    const fault = await broker.faults.only({ user: "nobody" })[name](name === "restart" ? { on: "basic.publish" } : {});
    assert.equal(typeof fault.id, "number");
  }
  await broker.faults.only({ user: "nobody" }).delayConfirms({ ms: 10 });
  await broker.faults.only({ user: "nobody" }).duplicate({ queue: "q" });
  await broker.faults.only({ user: "nobody" }).expireLock({ ack: 2 });
  await broker.faults.only({ user: "nobody" }).random({ seed: 7, rate: 0.01 });
  await broker.faults.clear();
});

test("a restart retains what is durable", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "q");
  await publish(vhost, "q", "kept", { delivery_mode: 2 });
  await publish(vhost, "q", "lost");
  const { port } = broker;
  await broker.restart();
  assert.equal(broker.port, port);
  assert.deepEqual((await vhost.messages("q")).map(({ body }) => body.toString()), ["kept"]);
  await vhost.delete();
});

test("message groups have their states and their ready messages", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "orders", { "x-group-header": "customer", "x-group-on-dead": "park" });
  for (const [customer, order] of [["A", "A1"], ["A", "A2"], ["B", "B1"]]) {
    await publish(vhost, "orders", order, { headers: { customer } });
  }
  const path = `/queues/${vhost.name}/orders/get`;
  await broker.api("POST", path, { count: 1, ackmode: "reject_requeue_false", encoding: "auto" });
  const groups = (await vhost.groups("orders")).map(({ messages, ...rest }) => ({
    ...rest,
    bodies: messages.map(({ body }) => body.toString()),
  }));
  assert.deepEqual(groups, [
    { key: "A", keyType: "string", state: "parked", bodies: ["A1", "A2"] },
    { key: "B", keyType: "string", state: "free", bodies: ["B1"] },
  ]);
  await declare(vhost, "plain");
  assert.deepEqual(await vhost.groups("plain"), []);
  await assert.rejects(vhost.groups("absent"), { status: 404 });
  await vhost.delete();
});

test("a stream is read from any offset and keeps its messages", async () => {
  const vhost = await broker.vhost();
  await broker.api("PUT", `/queues/${vhost.name}/events`, { durable: true, arguments: { "x-queue-type": "stream" } });
  for (const event of ["a", "b", "c"]) await publish(vhost, "events", event);
  const { firstOffset, nextOffset, messages } = await vhost.stream("events", { count: 3 });
  assert.deepEqual([firstOffset, nextOffset], [0, 3]);
  assert.deepEqual(messages.map(({ offset, body }) => [offset, body.toString()]), [[0, "a"], [1, "b"], [2, "c"]]);
  const found = await broker.stream("events", { vhost: vhost.name, offset: 1 });
  assert.deepEqual(found.messages.map(({ offset }) => offset), [1, 2]);
  const since = new Date((await broker.clock.now()).getTime() - 3_600_000);
  assert.equal((await vhost.stream("events", { offset: since })).messages.length, 3);
  assert.deepEqual((await vhost.stream("events", { offset: "next" })).messages, []);
  await assert.rejects(vhost.stream("events", { count: 4, timeout: 0 }), { status: 409 });
  await assert.rejects(vhost.stream("absent"), { status: 404 });
  await vhost.delete();
});

test("a batch counts its members and names those that failed", async () => {
  const vhost = await broker.vhost();
  await declare(vhost, "parts");
  const path = `/queues/${vhost.name}/parts/get`;
  for (const part of ["1", "2"]) {
    await publish(vhost, "parts", part, { message_id: part, headers: { "x-batch-id": "a / b", "x-batch-size": 3 } });
  }
  await broker.api("POST", path, { count: 1, ackmode: "reject_requeue_false", encoding: "auto" });
  assert.deepEqual(await vhost.batch("a / b"), {
    vhost: vhost.name,
    id: "a / b",
    state: "open",
    size: 3,
    ok: 0,
    failed: 1,
    open: 1,
    failures: [{ messageId: "1", queue: "parts", reason: "rejected" }],
  });
  await assert.rejects(vhost.batch("a"), { status: 404, reason: /^there is no batch 'a' in vhost '.*'/ });
  await vhost.delete();
});
