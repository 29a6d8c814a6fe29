import { html } from "../view.js";
import { get, path } from "../api.js";
import { useLive } from "../live.js";
import { toChannel, toConnection, toExchange, toQueue, toUser } from "../router.js";
import { useSession } from "../session.js";
import { RatesChart, sampled } from "../chart.js";
import { Badge, Card, Facts, Heading, Named, Problem, Tiles } from "../parts.js";
import { Listing, Table } from "../table.js";
import { count, exchangeName, rate, rateOf } from "../format.js";
import { StateBadge } from "../state.js";

function Mode({ channel }) {
  return html`
    ${channel.confirm && html`<${Badge} text="C" title="Publisher confirms" />`}
    ${channel.transactional && html`<${Badge} text="T" title="Transactional" />`}`;
}

/** The columns of a connection's list of channels. A channel's name contains the name of its connection. */
export const CHANNELS = [
  {
    id: "name", title: "Channel", sort: "name",
    cell: (it) => html`<${Named} name=${it.name} address=${toChannel(it.name)} client=${it.connection_details?.user_provided_name} />`,
  },
  { id: "mode", title: "Mode", cell: (it) => html`<${Mode} channel=${it} />` },
  { id: "state", title: "State", sort: "state", cell: (it) => html`<${StateBadge} state=${it.state} idleSince=${it.idle_since} />` },
  { id: "consumers", title: "Consumers", sort: "consumer_count", num: true, cell: (it) => count(it.consumer_count) },
  { id: "prefetch", title: "Prefetch", sort: "prefetch_count", num: true, cell: (it) => count(it.prefetch_count) },
  { id: "unacked", title: "Unacked", sort: "messages_unacknowledged", num: true, cell: (it) => count(it.messages_unacknowledged) },
  { id: "unconfirmed", title: "Unconfirmed", sort: "messages_unconfirmed", num: true, cell: (it) => count(it.messages_unconfirmed) },
  { id: "publish", title: "Publish", sort: "message_stats.publish_details.rate", num: true, cell: rateOf("publish") },
  { id: "deliver", title: "Deliver / get", sort: "message_stats.deliver_get_details.rate", num: true, cell: rateOf("deliver_get") },
  { id: "ack", title: "Ack", sort: "message_stats.ack_details.rate", num: true, cell: rateOf("ack") },
];
const LISTED = [
  CHANNELS[0],
  { id: "vhost", title: "Vhost", sort: "vhost", class: "mono", cell: (it) => it.vhost },
  { id: "user", title: "User", sort: "user", class: "mono", cell: (it) => it.user },
  ...CHANNELS.slice(1),
];

export function Channels({ parts, query }) {
  const { vhost } = useSession();
  return html`
    <${Heading} title="Channels" />
    <${Listing} where=${vhost ? path("vhosts", vhost, "channels") : "channels"} parts=${parts} query=${query} columns=${LISTED}
      rowKey=${(it) => it.name} one="channel" many="Channels" none="No channels." sort="name" />`;
}

/** The message statistics of a channel for each exchange or queue. */
function PerTarget({ title, rows, target, names }) {
  if (!rows?.length) return null;
  return html`
    <${Card} title=${title}>
      <${Table} caption=${title} rows=${rows} columns=${[
        { id: "name", title: "Name", cell: target },
        ...names.map(([name, text]) => ({ id: name, title: text, num: true, cell: (it) => rate(it.stats?.[`${name}_details`]?.rate) })),
      ]} />
    <//>`;
}

export function Channel({ names: [name] }) {
  const { age } = useSession();
  const where = path("channels", name);
  const query = new URLSearchParams(sampled(age));
  const { data: it, error } = useLive(`${where} ${age}`, (signal) => get(`${where}?${query}`, signal));
  if (!it) return html`<${Heading} title=${name} kind="Channel" /><${Problem} error=${error} />`;
  return html`
    <${Heading} title=${name} kind="Channel" badges=${html`<${StateBadge} state=${it.state} idleSince=${it.idle_since} /><${Mode} channel=${it} />`} />
    <${Problem} error=${error} />
    <${Tiles} tiles=${[
      ["Unacked", count(it.messages_unacknowledged)],
      ["Unconfirmed", count(it.messages_unconfirmed)],
      ["Uncommitted", count(it.messages_uncommitted)],
      ["Acks uncommitted", count(it.acks_uncommitted)],
      ["Consumers", count(it.consumer_count)],
    ]} />
    <div class="grid two even">
      <${RatesChart} stats=${it.message_stats} />
      <${Card} title="Details">
        <${Facts} rows=${[
          ["Connection", html`<a class="mono" href=${toConnection(it.connection_details?.name ?? "")}>${it.connection_details?.name}</a>`],
          ["Client's name", it.connection_details?.user_provided_name],
          ["Channel number", it.number],
          ["User", html`<a class="mono" href=${toUser(it.user ?? "")}>${it.user}</a>`],
          ["Virtual host", html`<span class="mono">${it.vhost}</span>`],
          ["Mode", it.confirm ? "publisher confirms" : it.transactional ? "transactional" : "plain"],
          ["Prefetch of a consumer", it.prefetch_count],
          ["Prefetch of the channel", it.global_prefetch_count],
          ["Idle since", it.idle_since],
        ]} />
      <//>
    </div>
    <${Card} title="Consumers">
      <${Table} caption="Consumers" rows=${it.consumer_details ?? []} rowKey=${(row) => row.consumer_tag} empty="No consumers." columns=${[
        { id: "tag", title: "Tag", class: "mono", cell: (row) => row.consumer_tag },
        { id: "queue", title: "Queue", cell: (row) => html`<a class="mono" href=${toQueue(row.queue.vhost, row.queue.name)}>${row.queue.name}</a>` },
        { id: "ack", title: "Acks", cell: (row) => (row.ack_required ? "manual" : "auto") },
        { id: "prefetch", title: "Prefetch", num: true, cell: (row) => count(row.prefetch_count) },
        { id: "exclusive", title: "Exclusive", cell: (row) => (row.exclusive ? "yes" : "") },
      ]} />
    <//>
    <div class="grid two">
      <${PerTarget} title="Published to" rows=${it.publishes} names=${[["publish", "Publish"], ["confirm", "Confirm"], ["return_unroutable", "Unroutable"]]}
        target=${(row) => html`<a class="mono" href=${toExchange(row.exchange.vhost, row.exchange.name)}>${exchangeName(row.exchange.name)}</a>`} />
      <${PerTarget} title="Delivered from" rows=${it.deliveries} names=${[["deliver_get", "Deliver / get"], ["ack", "Ack"], ["redeliver", "Redelivered"]]}
        target=${(row) => html`<a class="mono" href=${toQueue(row.queue.vhost, row.queue.name)}>${row.queue.name}</a>`} />
    </div>`;
}
