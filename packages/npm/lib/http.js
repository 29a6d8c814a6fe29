"use strict";

const http = require("node:http");

/** Error of a request that the broker refused. `status` is that of HTTP, `reason` the broker's text. */
class BrokerError extends Error {
  constructor(status, reason) {
    super(reason);
    this.name = "BrokerError";
    this.status = status;
    this.reason = reason;
  }
}

/**
 * Send a request to the management API and return the JSON of the answer, `undefined` if it has none.
 *
 * `node:http` without an agent leaves no idle connection behind, which would keep a test runner from exiting.
 */
function request(origin, auth, method, path, body) {
  const data = body === undefined ? undefined : JSON.stringify(body);
  const headers = data === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(data) };
  return new Promise((resolve, reject) => {
    const sent = http.request(`${origin}${path}`, { method, auth, headers, agent: false }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        if (answer.statusCode >= 400) reject(new BrokerError(answer.statusCode, reasonOf(text)));
        else resolve(text ? JSON.parse(text) : undefined);
      });
    });
    sent.on("error", reject);
    sent.end(data);
  });
}

function reasonOf(text) {
  try {
    const { reason, error } = JSON.parse(text);
    return String(reason ?? error ?? text);
  } catch {
    return text;
  }
}

module.exports = { BrokerError, request };
