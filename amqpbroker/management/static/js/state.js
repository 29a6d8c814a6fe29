// The badge for the state of a connection, channel, queue or shovel.

import { html } from "./view.js";

const CALM = new Set(["running", "idle"]);
const BAD = new Set(["down", "crashed", "stopped", "terminated", "minority", "nodedown"]);

export function StateBadge({ state, idleSince }) {
  const shown = idleSince && state === "running" ? "idle" : state;
  if (!shown) return null;
  const kind = BAD.has(shown) ? "bad" : CALM.has(shown) ? (shown === "running" ? "good" : "") : "warn";
  return html`<span class=${`state ${kind}`}><span class="dot" aria-hidden="true"></span>${shown}</span>`;
}
