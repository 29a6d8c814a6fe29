"use strict";

/** Clock of a broker. It runs, and a test can advance or freeze it. */
class Clock {
  #broker;

  constructor(broker) {
    this.#broker = broker;
  }

  /** Advance the clock by `{ days, hours, minutes, seconds, milliseconds }`. Return the new time, with all that was due done. */
  async advance(duration) {
    return timeOf(await this.#broker.api("POST", "/testing/clock/advance", duration));
  }

  /** Freeze the clock, so that only `advance` moves it. */
  async freeze() {
    return timeOf(await this.#broker.api("POST", "/testing/clock/freeze", {}));
  }

  /** Let the clock run again. */
  async resume() {
    return timeOf(await this.#broker.api("POST", "/testing/clock/resume", {}));
  }

  /** Return the broker's time. */
  async now() {
    return timeOf(await this.#broker.api("GET", "/testing/clock"));
  }
}

function timeOf({ now_ms: milliseconds }) {
  return new Date(milliseconds);
}

module.exports = { Clock };
