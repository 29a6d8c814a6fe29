// Tables and forms for the permissions of a user or in a vhost.

import { html } from "./view.js";
import { del, path, put } from "./api.js";
import { announce } from "./announce.js";
import { afterAsking } from "./change.js";
import { Field, Form } from "./form.js";
import { toUser, toVhost } from "./router.js";
import { Card } from "./parts.js";
import { Table } from "./table.js";

const OTHER = {
  vhost: { title: "Virtual host", address: toVhost },
  user: { title: "User", address: toUser },
};

function otherColumn(other) {
  const { title, address } = OTHER[other];
  return { id: other, title, cell: (it) => html`<a class="mono" href=${address(it[other])}>${it[other]}</a>` };
}

const pattern = (id, title) => ({ id, title, class: "mono", cell: (it) => it[id] });

function removal(label, onRemove) {
  return {
    id: "remove", title: "", class: "end",
    cell: (it) => html`<button type="button" class="quiet" aria-label=${label(it)} onClick=${() => onRemove(it)}>Remove</button>`,
  };
}

/**
 * The permissions of one user in all vhosts, or of all users in one vhost. fixed: {user} or {vhost}. other: "vhost" or
 * "user", the field that differs between rows. names: the values that the form offers for it.
 */
export function PermissionsCard({ rows, other, names, fixed, onChange }) {
  const clear = async (it) => {
    const done = await afterAsking({
      title: "Remove these permissions?", text: `${it.user} can no longer use the virtual host ${it.vhost}.`, button: "Remove permissions",
      action: () => del(path("permissions", it.vhost, it.user)), done: "The permissions were removed.",
    });
    if (done) onChange();
  };
  const set = async (form) => {
    const it = { ...fixed, [other]: form.other };
    await put(path("permissions", it.vhost, it.user), { configure: form.configure, write: form.write, read: form.read });
    announce(`Permissions of ${it.user} in ${it.vhost} were set.`);
    onChange();
  };
  return html`
    <${Card} title="Permissions">
      <${Table} caption="Permissions" rows=${rows} rowKey=${(it) => it[other]} empty="No permissions." columns=${[
        otherColumn(other), pattern("configure", "Configure"), pattern("write", "Write"), pattern("read", "Read"),
        removal((it) => `Remove permissions of ${it.user} in ${it.vhost}`, clear),
      ]} />
      <details class="more" open=${rows.length === 0}>
        <summary>Set permissions</summary>
        <${Form} label="Set permissions" submit="Set permissions" onSubmit=${set}>
          <div class="fields">
            <${Field} label=${OTHER[other].title} name="other" options=${names} />
            <${Field} label="Configure" name="configure" defaultValue=".*" class="mono" hint="Regular expressions of names; empty for none" />
            <${Field} label="Write" name="write" defaultValue=".*" class="mono" />
            <${Field} label="Read" name="read" defaultValue=".*" class="mono" />
          </div>
        <//>
      </details>
    <//>`;
}

export function TopicPermissionsCard({ rows, other, names, fixed, onChange }) {
  const clear = async (it) => {
    const done = await afterAsking({
      title: "Remove these topic permissions?", text: `${it.user} is no longer restricted in the exchange ${it.exchange} of ${it.vhost}.`,
      button: "Remove topic permissions", action: () => del(path("topic-permissions", it.vhost, it.user, it.exchange || "amq.default")),
      done: "The topic permissions were removed.",
    });
    if (done) onChange();
  };
  const set = async (form) => {
    const it = { ...fixed, [other]: form.other };
    await put(path("topic-permissions", it.vhost, it.user), { exchange: form.exchange, write: form.write, read: form.read });
    announce(`Topic permissions of ${it.user} in ${it.vhost} were set.`);
    onChange();
  };
  return html`
    <${Card} title="Topic permissions">
      <${Table} caption="Topic permissions" rows=${rows} rowKey=${(it) => `${it[other]} ${it.exchange}`} empty="No topic permissions: any routing key." columns=${[
        otherColumn(other), pattern("exchange", "Exchange"), pattern("write", "Write"), pattern("read", "Read"),
        removal((it) => `Remove topic permissions of ${it.user} for ${it.exchange} in ${it.vhost}`, clear),
      ]} />
      <details class="more">
        <summary>Set topic permissions</summary>
        <${Form} label="Set topic permissions" submit="Set topic permissions" onSubmit=${set}>
          <div class="fields">
            <${Field} label=${OTHER[other].title} name="other" options=${names} />
            <${Field} label="Exchange" name="exchange" required defaultValue="amq.topic" class="mono" />
            <${Field} label="Write" name="write" defaultValue=".*" class="mono" hint="Regular expressions of routing keys" />
            <${Field} label="Read" name="read" defaultValue=".*" class="mono" />
          </div>
        <//>
      </details>
    <//>`;
}
