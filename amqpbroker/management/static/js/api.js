// Requests to the HTTP API. All addresses are relative to the page's own, so it works under any path prefix.

// The Authorization header of requests, null if the server gave a cookie. It holds the password, which a reload forgets.
let authorization = null;

/** The callback for the end of the login: the server no longer accepts the cookie or the password. */
let onLoggedOut = () => {};

export function whenLoggedOut(callback) {
  onLoggedOut = callback;
}

/** An error of the API. `message` is a text for the user; `status` is the HTTP status, 0 if there was no answer. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Returns a path under api/ with each part quoted: path("queues", "/", "q 1") is queues/%2F/q%201. */
export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

/** Returns the path of an exchange. The default exchange has a name of its own in paths. */
export function exchangePath(vhost, name, ...rest) {
  return path("exchanges", vhost, name || "amq.default", ...rest);
}

async function send(method, where, body, signal, keepalive = false) {
  const headers = { "X-Requested-With": "amqpbroker" };
  if (authorization) headers.Authorization = authorization;
  if (typeof body === "string") headers["Content-Type"] = "application/x-www-form-urlencoded";
  else if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(`api/${where}`, {
      method,
      headers,
      signal,
      keepalive,
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
      // Without credentials, the browser does not open its own password prompt when the server refuses the password.
      credentials: authorization ? "omit" : "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The broker cannot be reached.");
  }
}

async function content(response) {
  const text = await response.text();
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function inWords(response, answer) {
  const reason = answer && typeof answer === "object" ? answer.reason : answer;
  if (response.status === 401 || response.status === 403) {
    const known = reason && reason !== "Not_Authorized" ? `: ${unescaped(String(reason))}` : "";
    return `Not allowed${known}.`.replace("..", ".");
  }
  if (response.status === 404) return "Not found. It may have been deleted.";
  if (!reason) return `The broker answered ${response.status} ${response.statusText}.`;
  return unescaped(typeof reason === "string" ? reason : JSON.stringify(reason)).trim();
}

// RabbitMQ escapes some reasons for HTML.
function unescaped(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
}

/** Sends a request. Returns the decoded answer, null if it is empty. Throws ApiError. */
export async function call(method, where, body, signal) {
  const response = await send(method, where, body, signal);
  const answer = await content(response);
  if (response.ok) return answer;
  // The status 401 can also mean that the user lacks a permission, so this checks whether the login is still valid.
  if (response.status === 401 && !(await whoami())) onLoggedOut();
  throw new ApiError(response.status, inWords(response, answer));
}

export const get = (where, signal) => call("GET", where, undefined, signal);
export const put = (where, body = {}) => call("PUT", where, body);
export const post = (where, body = {}) => call("POST", where, body);
export const del = (where) => call("DELETE", where);

/** Deletes an object while the page is being closed, without reading the answer. */
export const delOnLeaving = (where) => void send("DELETE", where, undefined, undefined, true).catch(() => null);

/** Returns the user that sends the requests, null if nobody is logged in. */
export async function whoami() {
  const response = await send("GET", "whoami");
  return response.ok ? response.json() : null;
}

function basic(name, password) {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** Returns the user name and password of a fresh broker if the server offers them to this browser, else null. */
export async function defaultLogin() {
  try {
    const response = await send("GET", "auth");
    return (await response.json()).amqpbroker?.default_login ?? null;
  } catch {
    return null;
  }
}

/** Logs in, with a cookie if the server gives one. Returns the user. Throws ApiError. */
export async function logIn(name, password) {
  authorization = null;
  const form = new URLSearchParams({ username: name, password }).toString();
  const response = await send("POST", "login", form);
  if (response.ok) {
    const who = await whoami();
    if (who && who.name === name) return who;
  } else if (response.status === 401) {
    const answer = await content(response);
    const reason = answer && answer.reason !== "Not_Authorized" ? ` The broker says: ${answer.reason}` : "";
    throw new ApiError(401, `The user name or the password is wrong.${reason}`);
  } else if (response.status === 429) {
    throw new ApiError(429, inWords(response, await content(response)));
  }
  authorization = basic(name, password);
  const who = await whoami();
  if (who) return who;
  authorization = null;
  throw new ApiError(401, "The user name or the password is wrong, or the user may not use this page.");
}

export async function logOut() {
  if (authorization === null) await send("DELETE", "login").catch(() => null);
  authorization = null;
}
