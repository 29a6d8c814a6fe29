"use strict";

const KINDS = [
  "reset",
  "drop",
  "restart",
  "stop_reading",
  "stop_writing",
  "one_byte_writes",
  "nack",
  "withhold_confirms",
  "delay_confirms",
  "block",
  "duplicate",
  "expire_lock",
  "refuse_declare",
  "random",
];

/** Return camelCase as snake_case, which the broker uses. */
function snake(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function snakeKeys(options) {
  return Object.fromEntries(
    Object.entries(options)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [snake(name), value]),
  );
}

/** A fault that was injected. */
class Fault {
  #broker;

  constructor(broker, { id, kind, fault }) {
    this.#broker = broker;
    this.id = id;
    this.kind = kind;
    this.description = fault;
  }

  /** Return how often the fault has triggered. 0 once it is cleared. */
  async struck() {
    const { faults } = await this.#broker.api("GET", "/testing/faults");
    return faults.find(({ id }) => id === this.id)?.struck ?? 0;
  }

  /** End the fault. */
  async clear() {
    await this.#broker.api("DELETE", `/testing/faults/${this.id}`);
  }

  async [Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose")]() {
    await this.clear();
  }
}

/** Faults of a broker, or of some of its connections. Each method injects one, and takes the options of the Python API. */
class Faults {
  #broker;
  #only;

  constructor(broker, only = {}) {
    this.#broker = broker;
    this.#only = only;
  }

  /** Return the faults of some connections alone: of a `user`, a `vhost`, or a `connection` by its name. */
  only({ connection, user, vhost } = {}) {
    return new Faults(this.#broker, { ...this.#only, ...snakeKeys({ connection, user, vhost }) });
  }

  /** End the shortage that `block` reported. */
  async unblock() {
    const { faults } = await this.#broker.api("GET", "/testing/faults");
    for (const { id } of faults.filter(({ kind }) => kind === "block")) {
      await this.#broker.api("DELETE", `/testing/faults/${id}`);
    }
  }

  /** Return what the faults did, oldest first. */
  async happened() {
    const { happened } = await this.#broker.api("GET", "/testing/faults");
    return happened.map((each) => ({ ...each, at: new Date(each.at) }));
  }

  /** End all faults of the broker. */
  async clear() {
    await this.#broker.api("DELETE", "/testing/faults");
  }

  async _inject(kind, options) {
    const body = { kind, ...snakeKeys(options) };
    if (Object.keys(this.#only).length) body.only = this.#only;
    return new Fault(this.#broker, await this.#broker.api("POST", "/testing/faults", body));
  }
}

for (const kind of KINDS) {
  const name = kind.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  Faults.prototype[name] = {
    [name](options = {}) {
      return this._inject(kind, options);
    },
  }[name];
}

module.exports = { Fault, Faults, snakeKeys };
