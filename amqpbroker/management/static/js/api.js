// Requests to the HTTP API. All addresses are relative to the page's own, so it works under any path prefix.

// The credentials of requests. With a cookie there is nothing to add; if the server gives none, the
// password is kept here, which a reload forgets.
let authorization = null;

/** Called when the server no longer accepts the credentials. */
let onLoggedOut = () => {};

export function whenLoggedOut(callback) {
  onLoggedOut = callback;
}

/** An answer that is an error. `message` is in words; `status` is HTTP's, 0 if there was no answer. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The path of something under api/, each part quoted: path("queues", "/", "q 1") is queues/%2F/q%201. */
export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

/** The name of the default exchange in paths. */
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
      // Without credentials the browser does not ask for a password by itself when one is refused.
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

// RabbitMQ quotes some reasons for HTML.
function unescaped(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
}

/** Sends a request; gives the decoded answer, null if it is empty. Raises ApiError. */
export async function call(method, where, body, signal) {
  const response = await send(method, where, body, signal);
  const answer = await content(response);
  if (response.ok) return answer;
  // A 401 may say only that this user may not do that.
  if (response.status === 401 && !(await whoami())) onLoggedOut();
  throw new ApiError(response.status, inWords(response, answer));
}

export const get = (where, signal) => call("GET", where, undefined, signal);
export const put = (where, body = {}) => call("PUT", where, body);
export const post = (where, body = {}) => call("POST", where, body);
export const del = (where) => call("DELETE", where);

/** Deletes something while the page is being closed; nobody reads the answer. */
export const delOnLeaving = (where) => void send("DELETE", where, undefined, undefined, true).catch(() => null);

/** The user that requests are sent as, null if nobody is logged in. */
export async function whoami() {
  const response = await send("GET", "whoami");
  return response.ok ? response.json() : null;
}

function basic(name, password) {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** The user name and password that a fresh broker accepts on this machine, null if it does not. */
export async function defaultLogin() {
  try {
    const response = await send("GET", "auth");
    return (await response.json()).amqpbroker?.default_login ?? null;
  } catch {
    return null;
  }
}

/** Logs in, with a cookie if the server gives one. Returns the user. Raises ApiError. */
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
