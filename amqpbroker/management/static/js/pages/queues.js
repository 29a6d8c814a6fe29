import { html, useState } from "../view.js";
import { path, put } from "../api.js";
import { announce } from "../announce.js";
import { QUEUE_ARGUMENTS, features } from "../arguments.js";
import { Dialog } from "../dialog.js";
import { Arguments, Checkbox, Field, Form, argumentTable } from "../form.js";
import { isDurableOnly, presetsOf, queueTypeNames } from "../queue_types.js";
import { toQueue } from "../router.js";
import { firstVhost, useSession } from "../session.js";
import { Badge, Heading } from "../parts.js";
import { Listing } from "../table.js";
import { count, rateOf } from "../format.js";
import { StateBadge } from "../state.js";

const NAME = { id: "name", title: "Name", sort: "name", cell: (it) => html`<a class="mono" href=${toQueue(it.vhost, it.name)}>${it.name}</a>` };
const VHOST = { id: "vhost", title: "Vhost", sort: "vhost", class: "mono", cell: (it) => it.vhost };
const REST = [
  { id: "type", title: "Type", sort: "type", cell: (it) => it.type },
  { id: "features", title: "Features", cell: (it) => html`<${Features} of=${it} />` },
  { id: "state", title: "State", sort: "state", cell: (it) => html`<${StateBadge} state=${it.state} idleSince=${it.idle_since} />` },
  { id: "ready", title: "Ready", sort: "messages_ready", num: true, cell: (it) => count(it.messages_ready) },
  { id: "unacked", title: "Unacked", sort: "messages_unacknowledged", num: true, cell: (it) => count(it.messages_unacknowledged) },
  { id: "total", title: "Total", sort: "messages", num: true, cell: (it) => count(it.messages) },
  { id: "consumers", title: "Consumers", sort: "consumers", num: true, cell: (it) => count(it.consumers) },
  { id: "in", title: "Incoming", sort: "message_stats.publish_details.rate", num: true, cell: rateOf("publish") },
  { id: "out", title: "Deliver / get", sort: "message_stats.deliver_get_details.rate", num: true, cell: rateOf("deliver_get") },
  { id: "ack", title: "Ack", sort: "message_stats.ack_details.rate", num: true, cell: rateOf("ack") },
];

// The columns that the list shows. The request names them to keep the answer small.
const WANTED = [
  "name", "vhost", "type", "state", "idle_since", "durable", "auto_delete", "exclusive", "arguments", "policy", "operator_policy",
  "effective_policy_definition", "messages", "messages_ready", "messages_unacknowledged", "consumers",
  "message_stats.publish_details.rate", "message_stats.deliver_get_details.rate", "message_stats.ack_details.rate",
].join();

export function Features({ of }) {
  return html`
    <span class="badges">
      ${features(of).map(([mark, meaning]) => html`<${Badge} key=${mark} text=${mark} title=${meaning} />`)}
      ${of.policy && html`<${Badge} kind="policy" text=${of.policy} title=${`Policy ${of.policy}`} />`}
      ${of.operator_policy && html`<${Badge} kind="policy" text=${of.operator_policy} title=${`Operator policy ${of.operator_policy}`} />`}
    </span>`;
}

export function Queues({ parts, query }) {
  const { vhost } = useSession();
  const [adding, setAdding] = useState(false);
  const [version, setVersion] = useState(0);
  return html`
    <${Heading} title="Queues">
      <button type="button" class="primary" onClick=${() => setAdding(true)}>Add queue</button>
    <//>
    <${Listing} where=${vhost ? path("queues", vhost) : "queues"} parts=${parts} query=${query} version=${version}
      columns=${vhost ? [NAME, ...REST] : [NAME, VHOST, ...REST]} rowKey=${(it) => path(it.vhost, it.name)} params=${{ columns: WANTED }}
      one="queue" many="Queues" none="No queues yet." sort="name" />
    ${adding && html`<${AddQueue} onClose=${() => setAdding(false)} onAdded=${() => setVersion(version + 1)} />`}`;
}

function AddQueue({ onClose, onAdded }) {
  const session = useSession();
  const [rows, setRows] = useState([]);
  const [type, setType] = useState("default");
  const durableOnly = isDurableOnly(session.overview, type);
  const add = async (form) => {
    const table = argumentTable(rows);
    if (form.type !== "default") table["x-queue-type"] = form.type;
    const durable = form.durability !== "transient";
    await put(path("queues", form.vhost, form.name), { durable, auto_delete: form.auto_delete === "on", arguments: table });
    announce(`The queue ${form.name} was added.`);
    onAdded();
    onClose();
  };
  return html`
    <${Dialog} title="Add queue" onClose=${onClose} wide>
      <${Form} label="Add queue" submit="Add queue" onSubmit=${add} onCancel=${onClose}>
        <div class="fields">
          <${Field} label="Name" name="name" required autofocus class="mono" />
          <${Field} label="Virtual host" name="vhost" options=${session.vhosts} chosen=${firstVhost(session)} />
          <${Field} label="Type" name="type" chosen="default" onChange=${(event) => setType(event.currentTarget.value)}
            options=${[["default", "Default of the virtual host"], ...queueTypeNames(session.overview)]} />
          ${!durableOnly && html`
            <${Field} label="Durability" name="durability" options=${[["durable", "Durable"], ["transient", "Transient"]]} chosen="durable" />`}
        </div>
        ${!durableOnly && html`<${Checkbox} name="auto_delete" label="Delete when its last consumer is gone" />`}
        <${Arguments} legend="Arguments" rows=${rows} onChange=${setRows} presets=${presetsOf(session.overview, type, QUEUE_ARGUMENTS)} />
      <//>
    <//>`;
}
