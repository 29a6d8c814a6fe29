"use strict";

const { Broker } = require("./broker.js");
const { Fault, Faults } = require("./faults.js");
const { BrokerError } = require("./http.js");
const { launch } = require("./launch.js");
const { Clock } = require("./clock.js");
const { Vhost } = require("./vhost.js");

/** Settings of a broker for tests, as in Python: no metrics, and heartbeats only for clients that ask for them. */
const DEFAULTS = {
  "listeners.tcp.default": 0,
  "management.tcp.port": 0,
  "prometheus.tcp.port": "none",
  heartbeat: 0,
};

/** Start a broker in memory on free ports, and return it once clients can connect. */
async function start({ command, settings = {}, args = [], env = {}, timeout = 30_000, onLog } = {}) {
  const rows = Object.entries({ ...DEFAULTS, ...settings }).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  const flags = ["serve", "--in-memory", "--testing", ...rows, ...args];
  const { child, ready } = await launch({ command, args: flags, env, timeout, onLog });
  return new Broker(child, ready);
}

module.exports = { Broker, BrokerError, Clock, Fault, Faults, Vhost, start };
