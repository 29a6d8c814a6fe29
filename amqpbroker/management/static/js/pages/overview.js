import { html, useId } from "../view.js";
import { useSession } from "../session.js";
import { AGES, LengthsChart, RatesChart } from "../chart.js";
import { Card, Facts, Heading, Meter, Tiles } from "../parts.js";
import { Table } from "../table.js";
import { bytes, count, rate, span } from "../format.js";

export function Overview() {
  const { overview, nodes } = useSession();
  if (!overview) return html`<${Heading} title="Overview" /><p class="empty">Loading…</p>`;
  const totals = overview.queue_totals ?? {};
  const objects = overview.object_totals ?? {};
  const stats = overview.message_stats ?? {};
  const delivered = stats.deliver_get_details?.rate;
  return html`
    <${Heading} title="Overview"><${AgeChoice} /><//>
    <${Tiles} tiles=${[
      ["Ready", count(totals.messages_ready ?? 0)],
      ["Unacked", count(totals.messages_unacknowledged ?? 0)],
      ["Published", rate(stats.publish_details?.rate ?? 0)],
      ["Delivered", rate(delivered ?? 0)],
      ["Connections", count(objects.connections)],
      ["Channels", count(objects.channels)],
      ["Consumers", count(objects.consumers)],
      ["Queues", count(objects.queues)],
    ]} />
    <div class="grid two even">
      <${LengthsChart} totals=${totals} />
      <${RatesChart} stats=${stats} />
    </div>
    <div class="grid two even">
      ${nodes.map((node) => html`<${Node} node=${node} key=${node.name} />`)}
      ${overview.amqpbroker?.database && html`<${Database} database=${overview.amqpbroker.database} />`}
      <${Churn} rates=${overview.churn_rates ?? {}} />
    </div>
    <div class="grid two even">
      <${Card} title="Listeners">
        <${Table} caption="Listeners" columns=${LISTENER} rows=${overview.listeners ?? []} empty="No listeners are shown to you." />
      <//>
      <${Card} title="About">
        <${Facts} rows=${[
          ["Broker", `amqpbroker ${overview.amqpbroker.version}`],
          !["RabbitMQ", "amqpbroker"].includes(overview.product_name) && ["Product", `${overview.product_name} ${overview.product_version}`],
          ["Compatible with", `RabbitMQ ${overview.rabbitmq_version}`],
          ["Cluster name", html`<span class="mono">${overview.cluster_name}</span>`],
          ["Node", html`<span class="mono">${overview.node}</span>`],
          ["Default queue type", overview.default_queue_type],
          ["Exchange types", (overview.exchange_types ?? []).map((it) => it.name).join(", ")],
        ]} />
      <//>
    </div>`;
}

const LISTENER = [
  { id: "protocol", title: "Protocol", cell: (it) => it.protocol },
  { id: "address", title: "Bound to", class: "mono", cell: (it) => it.ip_address },
  { id: "port", title: "Port", num: true, cell: (it) => it.port },
];

/** A selection of the period that charts show, limited to the time that the server keeps samples. */
export function AgeChoice() {
  const { age, setAge, oldest_s } = useSession();
  const id = useId();
  const offered = AGES.filter(([seconds]) => seconds <= Math.max(oldest_s, 600));
  return html`
    <label for=${id} class="inline-label">Charts show the last</label>
    <select id=${id} onChange=${(event) => setAge(AGES.find(([seconds]) => seconds === Number(event.currentTarget.value)))}>
      ${offered.map(([seconds, , text]) => html`<option value=${seconds} key=${seconds} selected=${seconds === age[0]}>${text}</option>`)}
    </select>`;
}

function Node({ node }) {
  if (node.running === false) return html`<${Card} title=${node.name}><p class="problem">This node is not running.</p><//>`;
  if (node.mem_used === undefined) {
    return html`<${Card} title="Node" actions=${html`<span class="mono dim">${node.name}</span>`}><p>This broker does not answer.</p><//>`;
  }
  return html`
    <${Card} title="Node" actions=${html`<span class="mono dim">${node.name}</span>`}>
      <div class="meters">
        <${Meter} label="Memory" value=${node.mem_used} max=${node.mem_limit} bad=${node.mem_alarm}
          text=${`${bytes(node.mem_used)} of ${bytes(node.mem_limit)}`} />
        <${Meter} label="File descriptors" value=${node.fd_used} max=${node.fd_total} text=${`${count(node.fd_used)} of ${count(node.fd_total)}`} />
      </div>
      <${Facts} rows=${[
        node.disk_free_limit > 0 && ["Disk free", html`<span class=${node.disk_free_alarm ? "bad-text" : ""}>${bytes(node.disk_free)}</span> <span class="dim">alarm below ${bytes(node.disk_free_limit)}</span>`],
        ["Uptime", span(node.uptime)],
        ["Vhosts that it leads", node.led_vhosts],
        node.drained && ["Maintenance", "This broker is drained: it leads no vhosts."],
        ["Processors", node.processors],
        ["Process id", node.os_pid],
      ]} />
    <//>`;
}

/** The database that all brokers share. */
function Database({ database }) {
  return html`
    <${Card} title="Database">
      ${!database.synchronous && html`
        <p class="problem">No commit waits for a standby, so a failover of the database may lose confirmed messages. Set synchronous_standby_names in PostgreSQL, unless its storage is replicated.</p>`}
      <${Facts} rows=${[
        ["URL", html`<span class="mono">${database.url}</span>`],
        ["Commits", database.synchronous ? "Wait for a standby" : "Wait for no standby"],
      ]} />
    <//>`;
}

const CHURN = [
  ["Connections", "connection_created", "connection_closed"], ["Channels", "channel_created", "channel_closed"],
  ["Queues", "queue_created", "queue_deleted"],
];

/** The rates of opened and closed objects. High rates often mean that a client connects for every message. */
function Churn({ rates }) {
  const both = (name) => html`${count(rates[name] ?? 0)} <span class="dim">${rate(rates[`${name}_details`]?.rate ?? 0)}</span>`;
  return html`
    <${Card} title="Churn">
      <${Table} caption="Churn" rows=${CHURN} rowKey=${([what]) => what} columns=${[
        { id: "what", title: "Objects", cell: ([what]) => what },
        { id: "opened", title: "Opened or created", num: true, cell: ([, opened]) => both(opened) },
        { id: "closed", title: "Closed or deleted", num: true, cell: ([, , closed]) => both(closed) },
      ]} />
    <//>`;
}
