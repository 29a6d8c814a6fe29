import { html, useState } from "../view.js";
import { del, get, path, put } from "../api.js";
import { announce } from "../announce.js";
import { afterAsking, attempted } from "../change.js";
import { Dialog } from "../dialog.js";
import { Field, Form } from "../form.js";
import { useLive } from "../live.js";
import { firstVhost, useSession } from "../session.js";
import { Card, Heading, Problem } from "../parts.js";
import { StateBadge } from "../state.js";
import { Table, useOrder } from "../table.js";

const ACK_MODES = [["on-confirm", "When it is confirmed"], ["on-publish", "When it is published"], ["no-ack", "Never"]];

/** query: the vhost and the name of the shovel to mark. */
export function Shovels({ query }) {
  const { vhost } = useSession();
  const where = vhost ? path("shovels", vhost) : "shovels";
  const { data, error, reload } = useLive(where, (signal) => get(where, signal));
  const [adding, setAdding] = useState(false);
  const [rows, order, onOrder] = useOrder(data ?? [], "name");
  const restart = async (it) => {
    await attempted(() => del(path("shovels", "vhost", it.vhost, it.name, "restart")), `The shovel ${it.name} was restarted.`);
    reload();
  };
  const remove = async (it) => {
    const done = await afterAsking({
      title: `Delete the shovel ${it.name}?`, text: "Messages that it has not moved stay in the source.", button: "Delete",
      action: () => del(path("shovels", "vhost", it.vhost, it.name)), done: `The shovel ${it.name} was deleted.`,
    });
    if (done) reload();
  };
  const columns = [
    { id: "name", title: "Name", sort: "name", class: "mono", cell: (it) => it.name },
    ...(vhost ? [] : [{ id: "vhost", title: "Vhost", sort: "vhost", class: "mono", cell: (it) => it.vhost }]),
    { id: "state", title: "State", sort: "state", cell: (it) => html`<${StateBadge} state=${it.state} />` },
    { id: "from", title: "From", class: "mono", cell: (it) => end(it, "src") },
    { id: "to", title: "To", class: "mono", cell: (it) => end(it, "dest") },
    { id: "since", title: "Since (UTC)", sort: "timestamp", cell: (it) => it.timestamp },
    { id: "reason", title: "Error", cell: (it) => it.reason ?? "" },
    {
      id: "change", title: "", class: "end",
      cell: (it) => html`
        <button type="button" class="quiet" aria-label=${`Restart shovel ${it.name}`} onClick=${() => restart(it)}>Restart</button>
        <button type="button" class="quiet" aria-label=${`Delete shovel ${it.name}`} onClick=${() => remove(it)}>Delete</button>`,
    },
  ];
  return html`
    <${Heading} title="Shovels" />
    <${Card} title="Shovels" actions=${html`<button type="button" onClick=${() => setAdding(true)}>Add shovel</button>`}>
      <${Problem} error=${error} />
      ${data && html`<${Table} caption="Shovels" columns=${columns} rows=${rows} rowKey=${(it) => path(it.vhost, it.name)} isMarked=${(it) => it.vhost === query.vhost && it.name === query.name}
        empty="No shovels." order=${order} onOrder=${onOrder} />`}
      ${adding && html`<${Add} onClose=${() => setAdding(false)} onDone=${reload} />`}
    <//>`;
}

/** Returns the source or the destination of a shovel. The API returns them only while the shovel runs. */
function end(it, which) {
  const place = it[`${which}_queue`] ?? [it[`${which}_exchange`], it[`${which}_exchange_key`]].filter(Boolean).join(" ");
  return it[`${which}_uri`] ? `${it[`${which}_uri`]} ${place}` : "";
}

function Add({ onClose, onDone }) {
  const session = useSession();
  const save = async (form) => {
    await put(path("parameters", "shovel", form.vhost, form.name), {
      value: {
        "src-uri": form.from, "src-queue": form.fromQueue, "dest-uri": form.to, "dest-queue": form.toQueue, "ack-mode": form.ack,
      },
    });
    announce(`The shovel ${form.name} was added.`);
    onDone();
    onClose();
  };
  return html`
    <${Dialog} title="Add shovel" onClose=${onClose} wide>
      <${Form} label="Add shovel" submit="Add shovel" onSubmit=${save} onCancel=${onClose}>
        <div class="fields">
          <${Field} label="Name" name="name" required autofocus class="mono" />
          <${Field} label="Virtual host" name="vhost" options=${session.vhosts} chosen=${firstVhost(session)} />
          <${Field} label="From" name="from" required defaultValue="amqp://" class="mono" hint="amqp:// is this broker, amqp:///name another virtual host of it" />
          <${Field} label="From queue" name="fromQueue" required class="mono" />
          <${Field} label="To" name="to" required class="mono" hint="Such as amqp://user:password@host" />
          <${Field} label="To queue" name="toQueue" required class="mono" />
          <${Field} label="A message leaves the source" name="ack" options=${ACK_MODES} chosen="on-confirm" />
        </div>
      <//>
    <//>`;
}
