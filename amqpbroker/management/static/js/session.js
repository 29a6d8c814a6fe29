// The user's session: the user, the vhosts, and the selected vhost.

import { createContext, useContext } from "./view.js";

/** {who, rights, vhosts, vhost, setVhost, reloadVhosts, overview}; vhost is "" if all vhosts are selected. */
export const Session = createContext(null);

export const useSession = () => useContext(Session);

/** Returns the rights that the user's tags grant. */
export function may(who) {
  const tags = new Set(who.tags);
  const administers = tags.has("administrator");
  return {
    administer: administers,
    monitor: administers || tags.has("monitoring"),
    makePolicies: administers || tags.has("policymaker"),
  };
}

/** Returns the vhost that a form selects first. */
export function firstVhost({ vhost, vhosts }) {
  return vhost || (vhosts.includes("/") ? "/" : vhosts[0] ?? "/");
}

const KEY = "amqpbroker.vhost";

/** Returns the vhost that was last selected in this tab, "" if the browser stores nothing. */
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
    // The browser stores nothing: a reload selects all vhosts.
  }
}
