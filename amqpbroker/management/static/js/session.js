// Who is logged in, which vhosts there are, and which of them is looked at.

import { createContext, useContext } from "./view.js";

/** {who, vhosts, vhost, setVhost, reloadVhosts, overview}; vhost is "" for all. */
export const Session = createContext(null);

export const useSession = () => useContext(Session);

/** What the user's tags let it do. */
export function may(who) {
  const tags = new Set(who.tags);
  const administers = tags.has("administrator");
  return {
    administer: administers,
    monitor: administers || tags.has("monitoring"),
    makePolicies: administers || tags.has("policymaker"),
  };
}

/** The vhost that a form offers first. */
export function firstVhost({ vhost, vhosts }) {
  return vhost || (vhosts.includes("/") ? "/" : vhosts[0] ?? "/");
}

const KEY = "amqpbroker.vhost";

/** Kept for the tab, without which the page works as well. */
export function rememberedVhost() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

export function rememberVhost(vhost) {
  try {
    sessionStorage.setItem(KEY, vhost);
  } catch {
    // A browser that keeps nothing.
  }
}
