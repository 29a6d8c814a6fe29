import { html } from "../view.js";
import { del, get, path } from "../api.js";
import { afterAsking } from "../change.js";
import { useLive } from "../live.js";
import { go, toConnection, toUser } from "../router.js";
import { useSession } from "../session.js";
import { BytesChart, sampled } from "../chart.js";
import { Badge, Card, Facts, Heading, Named, Problem, Tiles, Values } from "../parts.js";
import { Listing, Table } from "../table.js";
import { byteRate, bytes, count, plural, span, time } from "../format.js";
import { CHANNELS } from "./channels.js";
import { StateBadge } from "../state.js";

const perSecond = (details) => byteRate(details?.rate);

const COLUMNS = [
  {
    id: "name", title: "Name", sort: "name",
    cell: (it) => html`<${Named} name=${it.name} address=${toConnection(it.name)} client=${it.user_provided_name} />`,
  },
  { id: "vhost", title: "Vhost", sort: "vhost", class: "mono", cell: (it) => it.vhost },
  { id: "user", title: "User", sort: "user", class: "mono", cell: (it) => it.user },
  { id: "state", title: "State", sort: "state", cell: (it) => html`<${StateBadge} state=${it.state} />` },
  { id: "tls", title: "TLS", sort: "ssl", cell: (it) => (it.ssl ? "yes" : "") },
  { id: "protocol", title: "Protocol", sort: "protocol", cell: (it) => it.protocol },
  { id: "channels", title: "Channels", sort: "channels", num: true, cell: (it) => count(it.channels) },
  { id: "in", title: "From client", sort: "recv_oct_details.rate", num: true, cell: (it) => perSecond(it.recv_oct_details) },
  { id: "out", title: "To client", sort: "send_oct_details.rate", num: true, cell: (it) => perSecond(it.send_oct_details) },
];

export function Connections({ parts, query }) {
  const { vhost } = useSession();
  return html`
    <${Heading} title="Connections" />
    <${Listing} where=${vhost ? path("vhosts", vhost, "connections") : "connections"} parts=${parts} query=${query}
      columns=${COLUMNS} rowKey=${(it) => it.name} one="connection" many="Connections" none="No connections." sort="name" />`;
}

export function Connection({ names: [name] }) {
  const { age } = useSession();
  const where = path("connections", name);
  const query = new URLSearchParams(sampled(age));
  const { data: it, error } = useLive(`${where} ${age}`, (signal) => get(`${where}?${query}`, signal));
  const channels = useLive(`${where}/channels`, (signal) => get(`${where}/channels`, signal));
  if (!it) return html`<${Heading} title=${name} kind="Connection" /><${Problem} error=${error} />`;
  const close = async () => {
    const done = await afterAsking({
      title: "Close this connection?", button: "Close connection", action: () => del(where), done: `The connection ${name} was closed.`,
      text: `The client ${it.user_provided_name ?? name} loses it and its ${plural(it.channels ?? 0, "channel")}. It may connect again.`,
    });
    if (done) go("#/connections");
  };
  return html`
    <${Heading} title=${name} kind="Connection" badges=${html`<${StateBadge} state=${it.state} />${it.ssl && html`<${Badge} text="TLS" />`}`}>
      <button type="button" class="danger" onClick=${close}>Close connection</button>
    <//>
    <${Problem} error=${error} />
    <${Tiles} tiles=${[
      ["Channels", count(it.channels)],
      ["From client", bytes(it.recv_oct), perSecond(it.recv_oct_details)],
      ["To client", bytes(it.send_oct), perSecond(it.send_oct_details)],
      ["Waiting to be sent", bytes(it.send_pend)],
    ]} />
    <div class="grid two even">
      <${BytesChart} connection=${it} />
      <${Card} title="Details">
        <${Facts} rows=${[
          ["Client's name", it.user_provided_name],
          ["User", html`<a class="mono" href=${toUser(it.user ?? "")}>${it.user}</a>`],
          ["Virtual host", html`<span class="mono">${it.vhost}</span>`],
          ["Protocol", it.protocol],
          ["Login", it.auth_mechanism],
          ["Connected at", time(it.connected_at)],
          ["From", `${it.peer_host}:${it.peer_port}`],
          ["To", `${it.host}:${it.port}`],
          ["Heartbeat", typeof it.timeout === "number" ? span(it.timeout * 1000) : ""],
          ["Frame size limit", typeof it.frame_max === "number" ? bytes(it.frame_max) : ""],
          ["Channel limit", it.channel_max],
          ["TLS", it.ssl ? [it.ssl_protocol, it.ssl_cipher].filter(Boolean).join(", ") : ""],
          ["Certificate", it.peer_cert_subject],
        ]} />
      <//>
    </div>
    <${Card} title="Channels">
      <${Table} caption="Channels" columns=${CHANNELS} rows=${channels.data ?? []} rowKey=${(row) => row.name} empty="No channels." />
    <//>
    <${Card} title="Client"><${Values} table=${it.client_properties} /><//>`;
}
