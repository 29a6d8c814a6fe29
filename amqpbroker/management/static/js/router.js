// The addresses of pages. #/queues/%2F/orders?page=2 has the parts ["queues", "/", "orders"] and the query {page: "2"}.

import { useState, useEffect } from "./view.js";

/** Returns the address of a page. */
export function to(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const search = new URLSearchParams(given).toString();
  return `#/${parts.map((part) => encodeURIComponent(part)).join("/")}${search ? `?${search}` : ""}`;
}

export const toQueue = (vhost, name) => to(["queues", vhost, name]);
export const toExchange = (vhost, name) => to(["exchanges", vhost, name || "amq.default"]);
export const toConnection = (name) => to(["connections", name]);
export const toChannel = (name) => to(["channels", name]);
export const toUser = (name) => to(["users", name]);
export const toPolicy = (vhost, name) => to(["policies", vhost, name]);
export const toOperatorPolicy = (vhost, name) => to(["operator-policies", vhost, name]);
/** The list of shovels with this shovel marked. A shovel has no page of its own. */
export const toShovel = (vhost, name) => to(["shovels"], { vhost, name });
export const toVhost = (name) => to(["vhosts", name]);

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function here() {
  const [where, search = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { parts: where === "" ? [] : where.split("/").map(decoded), query: Object.fromEntries(new URLSearchParams(search)) };
}

export function go(address) {
  location.hash = address;
}

/** Changes the query of the address without an entry in the history. */
export function replaceQuery(parts, query) {
  history.replaceState(null, "", to(parts, query));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute() {
  const [route, setRoute] = useState(here);
  useEffect(() => {
    const follow = () => setRoute(here());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}
