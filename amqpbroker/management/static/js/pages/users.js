import { html, useState } from "../view.js";
import { get, path, put } from "../api.js";
import { announce } from "../announce.js";
import { Dialog } from "../dialog.js";
import { Field, Form } from "../form.js";
import { useLive } from "../live.js";
import { toUser } from "../router.js";
import { Badge, Heading, Problem } from "../parts.js";
import { Table, useOrder } from "../table.js";
import { useSession } from "../session.js";

export const TAGS = [
  ["", "none: AMQP only"], ["management", "management: sees its own virtual hosts"], ["policymaker", "policymaker: management, and policies"],
  ["monitoring", "monitoring: sees everything"], ["administrator", "administrator: everything"],
];

export function TagBadges({ tags }) {
  return html`<span class="badges">${tags.map((tag) => html`<${Badge} key=${tag} text=${tag} />`)}</span>`;
}

export function Users() {
  const { rights } = useSession();
  const users = useLive("users", (signal) => get("users", signal));
  const permissions = useLive("permissions", (signal) => get("permissions", signal));
  const [adding, setAdding] = useState(false);
  const [rows, order, onOrder] = useOrder(users.data ?? [], "name");
  const vhostsOf = (name) => (permissions.data ?? []).filter((it) => it.user === name).map((it) => it.vhost);
  const columns = [
    { id: "name", title: "Name", sort: "name", cell: (it) => html`<a class="mono" href=${toUser(it.name)}>${it.name}</a>` },
    { id: "tags", title: "Tags", sort: "tags", cell: (it) => html`<${TagBadges} tags=${it.tags} />` },
    {
      id: "vhosts", title: "Virtual hosts",
      cell: (it) => {
        const names = vhostsOf(it.name);
        return names.length > 0 ? html`<span class="mono">${names.join(", ")}</span>` : html`<span class="dim">none</span>`;
      },
    },
    { id: "password", title: "Password", cell: (it) => (it.password_hash ? "set" : html`<span class="dim">none</span>`) },
  ];
  return html`
    <${Heading} title="Users">${rights.administer && html`<button type="button" class="primary" onClick=${() => setAdding(true)}>Add user</button>`}<//>
    <${Problem} error=${users.error} />
    ${users.data && html`
      <${Table} caption="Users" columns=${columns} rows=${rows} rowKey=${(it) => it.name} empty="No users." order=${order} onOrder=${onOrder} />`}
    ${adding && html`<${AddUser} onClose=${() => setAdding(false)} onAdded=${users.reload} />`}`;
}

function AddUser({ onClose, onAdded }) {
  const add = async (form) => {
    if (form.password !== form.again) throw new Error("The two passwords are not the same.");
    const body = form.password === "" ? { password_hash: "", tags: form.tags } : { password: form.password, tags: form.tags };
    await put(path("users", form.name), body);
    announce(`The user ${form.name} was added. It has no permissions yet.`);
    onAdded();
    onClose();
  };
  return html`
    <${Dialog} title="Add user" onClose=${onClose}>
      <${Form} label="Add user" submit="Add user" onSubmit=${add} onCancel=${onClose}>
        <${Field} label="Name" name="name" required autofocus class="mono" />
        <${Field} label="Password" name="password" type="password" autocomplete="new-password" hint="Without one the user can log in by certificate only." />
        <${Field} label="Password again" name="again" type="password" autocomplete="new-password" />
        <${Field} label="Tag" name="tags" options=${TAGS} chosen="" />
      <//>
    <//>`;
}
