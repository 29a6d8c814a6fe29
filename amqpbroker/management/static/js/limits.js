// Limits of a vhost or a user.

import { html } from "./view.js";
import { del, path, put } from "./api.js";
import { announce } from "./announce.js";
import { attempted } from "./change.js";
import { Field, Form } from "./form.js";
import { Card } from "./parts.js";
import { Table } from "./table.js";
import { count } from "./format.js";

/** The limits of a vhost and of a user: [[name, text]]. */
export const LIMITS = {
  vhost: [["max-connections", "Connections"], ["max-queues", "Queues"]],
  user: [["max-connections", "Connections"], ["max-channels", "Channels"]],
};

export const limitText = (of, name) => LIMITS[of].find(([known]) => known === name)?.[1] ?? name;

/** Formats a limit. A negative value means that there is no limit. */
export const limitValue = (value) => (value < 0 ? "no limit" : count(value));

export function setLimit(of, owner, name, value) {
  return put(path(`${of}-limits`, owner, name), { value });
}

export function clearLimit(of, owner, name) {
  return attempted(() => del(path(`${of}-limits`, owner, name)), `The limit of ${owner} was removed.`);
}

/** of: "vhost" or "user", the kind of object that has the limits. values: {limit: number}. */
export function LimitsCard({ of, name, values, onChange }) {
  const rows = Object.entries(values).map(([limit, value]) => ({ limit, value }));
  const set = async (form) => {
    await setLimit(of, name, form.limit, Number(form.value));
    announce(`The limit of ${name} was set.`);
    onChange();
  };
  const clear = async (limit) => {
    if (await clearLimit(of, name, limit)) onChange();
  };
  return html`
    <${Card} title="Limits">
      <${Table} caption="Limits" rows=${rows} rowKey=${(it) => it.limit} empty="No limits." columns=${[
        { id: "limit", title: "Of", cell: (it) => limitText(of, it.limit) },
        { id: "value", title: "Limit", num: true, cell: (it) => limitValue(it.value) },
        {
          id: "remove", title: "", class: "end",
          cell: (it) => html`<button type="button" class="quiet" aria-label=${`Remove limit ${limitText(of, it.limit)}`} onClick=${() => clear(it.limit)}>Remove</button>`,
        },
      ]} />
      <details class="more">
        <summary>Set limit</summary>
        <${Form} label="Set limit" submit="Set limit" onSubmit=${set}>
          <div class="fields">
            <${Field} label="Limit" name="limit" options=${LIMITS[of]} />
            <${Field} label="At most" name="value" type="number" required />
          </div>
        <//>
      </details>
    <//>`;
}
