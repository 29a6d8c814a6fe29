import { html, useState } from "../view.js";
import { get, path, put } from "../api.js";
import { announce } from "../announce.js";
import { Dialog } from "../dialog.js";
import { Field, Form } from "../form.js";
import { useLive } from "../live.js";
import { queueTypeNames } from "../queue_types.js";
import { toVhost } from "../router.js";
import { useSession } from "../session.js";
import { Badge, Heading, Problem } from "../parts.js";
import { Table, useOrder } from "../table.js";
import { count, rateOf } from "../format.js";

const COLUMNS = [
  {
    id: "name", title: "Name", sort: "name",
    cell: (it) => html`<a class="mono" href=${toVhost(it.name)}>${it.name}</a>${it.description && html`<small>${it.description}</small>`}`,
  },
  { id: "tags", title: "Tags", cell: (it) => html`<span class="badges">${(it.tags ?? []).map((tag) => html`<${Badge} key=${tag} text=${tag} />`)}</span>` },
  { id: "type", title: "Default queue type", sort: "default_queue_type", cell: (it) => it.default_queue_type },
  { id: "ready", title: "Ready", sort: "messages_ready", num: true, cell: (it) => count(it.messages_ready) },
  { id: "unacked", title: "Unacked", sort: "messages_unacknowledged", num: true, cell: (it) => count(it.messages_unacknowledged) },
  { id: "in", title: "Publish", num: true, cell: rateOf("publish") },
  { id: "out", title: "Deliver / get", num: true, cell: rateOf("deliver_get") },
];

export function Vhosts() {
  const { reloadVhosts } = useSession();
  const vhosts = useLive("all vhosts", (signal) => get("vhosts", signal));
  const [adding, setAdding] = useState(false);
  const [rows, order, onOrder] = useOrder(vhosts.data ?? [], "name");
  const added = () => {
    vhosts.reload();
    reloadVhosts();
  };
  return html`
    <${Heading} title="Virtual hosts"><button type="button" class="primary" onClick=${() => setAdding(true)}>Add virtual host</button><//>
    <${Problem} error=${vhosts.error} />
    ${vhosts.data && html`
      <${Table} caption="Virtual hosts" columns=${COLUMNS} rows=${rows} rowKey=${(it) => it.name} empty="No virtual hosts." order=${order} onOrder=${onOrder} />`}
    ${adding && html`<${AddVhost} onClose=${() => setAdding(false)} onAdded=${added} />`}`;
}

function AddVhost({ onClose, onAdded }) {
  const { overview } = useSession();
  const add = async (form) => {
    const body = { description: form.description, tags: form.tags };
    if (form.type !== "") body.default_queue_type = form.type;
    await put(path("vhosts", form.name), body);
    announce(`The virtual host ${form.name} was added.`);
    onAdded();
    onClose();
  };
  return html`
    <${Dialog} title="Add virtual host" onClose=${onClose}>
      <${Form} label="Add virtual host" submit="Add virtual host" onSubmit=${add} onCancel=${onClose}>
        <${Field} label="Name" name="name" required autofocus class="mono" />
        <${Field} label="Description" name="description" />
        <${Field} label="Tags" name="tags" hint="With commas between them" />
        <${Field} label="Default queue type" name="type" options=${[["", "Default of the node"], ...queueTypeNames(overview)]} chosen="" />
      <//>
    <//>`;
}
