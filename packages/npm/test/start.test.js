"use strict";

const assert = require("node:assert/strict");
const { execFile } = require("node:child_process");
const net = require("node:net");
const { test } = require("node:test");
const { promisify } = require("node:util");

const { start } = require("amqpbroker");
const { findCommand, words } = require("../lib/launch.js");

test("the command is what was asked for, or what is installed", () => {
  assert.deepEqual(findCommand(["a b", "c"]), ["a b", "c"]);
  assert.deepEqual(findCommand("python3 -m amqpbroker"), ["python3", "-m", "amqpbroker"]);
  assert.deepEqual(words(`"/Program Files/python" -m 'a b'`), ["/Program Files/python", "-m", "a b"]);
});

test("a broker that cannot start fails with its log", async () => {
  await assert.rejects(start({ settings: { nonsense: 1 } }), /did not start: it exited with status [12]\n[^]*nonsense/);
  await assert.rejects(start({ command: ["no-such-program"] }), /no-such-program did not start: spawn no-such-program ENOENT/);
  await assert.rejects(start({ command: [process.execPath, "-e", "setTimeout(() => {}, 60000)", "--"], timeout: 100 }), /after 100 ms/);
});

test("settings and arguments are the broker's", async () => {
  const said = [];
  const broker = await start({ settings: { "product.name": "RabbitMQ in a test" }, args: ["--log-level", "info"], onLog: (text) => said.push(text) });
  assert.equal((await broker.api("GET", "/overview")).product_name, "RabbitMQ in a test");
  await broker.stop();
  assert.match(said.join(""), /Server startup complete/);
});

test("a broker is gone when it is stopped, and stopping again is no error", async () => {
  const broker = await start();
  await broker.stop();
  await broker.stop();
  assert.throws(() => process.kill(broker.pid, 0));
  await assert.rejects(broker.api("GET", "/overview"));
});

test("a program that forgets to stop its broker exits all the same, and the broker with it", { timeout: 60_000 }, async () => {
  const program = `require("amqpbroker").start().then((broker) => console.log(broker.port));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", program], { cwd: __dirname });
  let code;
  do code = await connect(Number(stdout)); while (code !== "ECONNREFUSED"); // it is killed, which takes a moment
});

/** Connect to a port, and return the code of the error, `undefined` if there is none. */
function connect(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(socket.destroy() && undefined));
    socket.on("error", ({ code }) => resolve(code));
  });
}

test("brokers end with the block that uses them", { skip: !Symbol.asyncDispose }, async () => {
  const broker = await start();
  const vhost = await broker.vhost();
  await vhost[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
  assert.throws(() => process.kill(broker.pid, 0));
});

test("ES modules import it by name", async () => {
  const imported = await import("amqpbroker");
  assert.equal(imported.start, start);
});
