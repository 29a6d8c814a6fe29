// A field for the name of a queue or an exchange. It suggests the names that contain the typed text.

import { html, useState } from "./view.js";
import { get, path } from "./api.js";
import { Field } from "./form.js";
import { useLive } from "./live.js";

const OFFERED = 50;

/** of: "queues" or "exchanges". The other properties are those of Field. */
export function NameField({ of, vhost, ...field }) {
  const [typed, setTyped] = useState("");
  const query = new URLSearchParams({ page: 1, page_size: OFFERED, name: typed, use_regex: false, pagination: true, columns: "name", disable_stats: true });
  const address = `${path(of, vhost)}?${query}`;
  const { data } = useLive(address, (signal) => get(address, signal), { keep: true });
  const names = (data?.items ?? []).map((it) => it.name).filter((name) => name !== "");
  return html`<${Field} ...${field} class="mono" suggestions=${names} onInput=${(event) => setTyped(event.currentTarget.value)} />`;
}
