import { html, useState } from "../view.js";
import { path, put } from "../api.js";
import { announce } from "../announce.js";
import { EXCHANGE_ARGUMENTS } from "../arguments.js";
import { Dialog } from "../dialog.js";
import { Arguments, Checkbox, Field, Form, argumentTable } from "../form.js";
import { toExchange } from "../router.js";
import { firstVhost, useSession } from "../session.js";
import { Heading } from "../parts.js";
import { Listing } from "../table.js";
import { exchangeName, rateOf } from "../format.js";
import { Features } from "./queues.js";

const NAME = { id: "name", title: "Name", sort: "name", cell: (it) => html`<a class="mono" href=${toExchange(it.vhost, it.name)}>${exchangeName(it.name)}</a>` };
const VHOST = { id: "vhost", title: "Vhost", sort: "vhost", class: "mono", cell: (it) => it.vhost };
const REST = [
  { id: "type", title: "Type", sort: "type", cell: (it) => it.type },
  { id: "features", title: "Features", cell: (it) => html`<${Features} of=${it} />` },
  { id: "in", title: "In", sort: "message_stats.publish_in_details.rate", num: true, cell: rateOf("publish_in") },
  { id: "out", title: "Out", sort: "message_stats.publish_out_details.rate", num: true, cell: rateOf("publish_out") },
];

export function Exchanges({ parts, query }) {
  const { vhost } = useSession();
  const [adding, setAdding] = useState(false);
  const [version, setVersion] = useState(0);
  return html`
    <${Heading} title="Exchanges">
      <button type="button" class="primary" onClick=${() => setAdding(true)}>Add exchange</button>
    <//>
    <${Listing} where=${vhost ? path("exchanges", vhost) : "exchanges"} parts=${parts} query=${query} version=${version}
      columns=${vhost ? [NAME, ...REST] : [NAME, VHOST, ...REST]} rowKey=${(it) => path(it.vhost, it.name)}
      one="exchange" many="Exchanges" none="No exchanges." sort="name" />
    ${adding && html`<${AddExchange} onClose=${() => setAdding(false)} onAdded=${() => setVersion(version + 1)} />`}`;
}

function AddExchange({ onClose, onAdded }) {
  const session = useSession();
  const [rows, setRows] = useState([]);
  const types = (session.overview?.exchange_types ?? []).map((it) => it.name);
  const add = async (form) => {
    await put(path("exchanges", form.vhost, form.name), {
      type: form.type,
      durable: form.durability === "durable",
      auto_delete: form.auto_delete === "on",
      internal: form.internal === "on",
      arguments: argumentTable(rows),
    });
    announce(`The exchange ${form.name} was added.`);
    onAdded();
    onClose();
  };
  return html`
    <${Dialog} title="Add exchange" onClose=${onClose} wide>
      <${Form} label="Add exchange" submit="Add exchange" onSubmit=${add} onCancel=${onClose}>
        <div class="fields">
          <${Field} label="Name" name="name" required autofocus class="mono" />
          <${Field} label="Virtual host" name="vhost" options=${session.vhosts} chosen=${firstVhost(session)} />
          <${Field} label="Type" name="type" options=${types.length ? types : ["direct", "fanout", "topic", "headers"]} chosen="direct" />
          <${Field} label="Durability" name="durability" options=${[["durable", "Durable"], ["transient", "Transient"]]} chosen="durable" />
        </div>
        <${Checkbox} name="auto_delete" label="Delete when its last binding is gone" />
        <${Checkbox} name="internal" label="Internal: clients cannot publish to it" />
        <${Arguments} legend="Arguments" rows=${rows} onChange=${setRows} presets=${EXCHANGE_ARGUMENTS} />
      <//>
    <//>`;
}
