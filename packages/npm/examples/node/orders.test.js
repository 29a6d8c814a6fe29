"use strict";

const assert = require("node:assert/strict");
const { after, afterEach, before, beforeEach, test } = require("node:test");

const amqp = require("amqplib");
const { start } = require("amqpbroker");
const { placeOrder } = require("../orders.js");

let broker, vhost, connection;

before(async () => (broker = await start()));
after(() => broker.stop());

beforeEach(async () => {
  vhost = await broker.vhost();
  connection = await amqp.connect(vhost.url);
});
afterEach(async () => {
  await connection.close();
  await vhost.delete();
});

test("an order is published", async () => {
  await placeOrder(connection, 42);
  const [order] = await vhost.published({ routingKey: "orders" });
  assert.equal(order.body.toString(), "42");
});

test("an order that the broker refuses is an error", async () => {
  await vhost.faults.nack({ routingKey: "orders" });
  await assert.rejects(placeOrder(connection, 42));
  assert.deepEqual(await vhost.messages("orders"), []);
});

test("a reminder comes after an hour", async () => {
  const channel = await connection.createChannel();
  await channel.assertQueue("reminders");
  await channel.assertQueue("later", {
    messageTtl: 3_600_000,
    deadLetterExchange: "",
    deadLetterRoutingKey: "reminders",
  });
  channel.sendToQueue("later", Buffer.from("drink"));
  await vhost.waitUntil({ queue: "later", ready: 1 });
  await broker.clock.advance({ hours: 1, seconds: 1 });
  assert.deepEqual((await vhost.messages("reminders")).map(({ body }) => body.toString()), ["drink"]);
});
