import { html, useState } from "../view.js";
import { del, get, path, post } from "../api.js";
import { announce } from "../announce.js";
import { afterAsking } from "../change.js";
import { Field, Form } from "../form.js";
import { useLive } from "../live.js";
import { go, toChannel, toQueue } from "../router.js";
import { useSession } from "../session.js";
import { LengthsChart, RatesChart, sampled } from "../chart.js";
import { Bindings, loadBefore } from "../bindings.js";
import { BrowseMessages } from "../browse.js";
import { Groups } from "../groups.js";
import { GetMessages } from "../messages.js";
import { Badge, Card, Facts, Heading, Named, Problem, Tiles, Values } from "../parts.js";
import { NameField } from "../names.js";
import { Publish } from "../publish.js";
import { retainsMessages } from "../queue_types.js";
import { Redrive } from "../redrive.js";
import { StreamMessages } from "../stream.js";
import { Table } from "../table.js";
import { bytes, count, plural, span, time } from "../format.js";
import { StateBadge } from "../state.js";
import { AgeChoice } from "./overview.js";
import { toLive } from "./live.js";
import { Features } from "./queues.js";

export function Queue({ names: [vhost, name] }) {
  const { age, overview } = useSession();
  const where = path("queues", vhost, name);
  const query = new URLSearchParams(sampled(age));
  const { data: it, error, reload } = useLive(`${where} ${age}`, (signal) => get(`${where}?${query}`, signal));
  const bindings = useLive(`${where} bindings`, async (signal) => {
    const incoming = await get(`${where}/bindings`, signal);
    return { incoming, before: await loadBefore(incoming, signal) };
  });
  if (!it) return html`<${Heading} title=${name} kind="Queue" /><${Problem} error=${error} />`;
  const effective = it.effective_policy_definition ?? {};
  const retains = retainsMessages(overview, it.type);
  return html`
    <${Heading} title=${name} kind="Queue"
      badges=${html`<${Badge} text=${it.type} kind="type" /><${StateBadge} state=${it.state} idleSince=${it.idle_since} /><${Features} of=${it} />`}>
      <${AgeChoice} />
      <a class="button" href=${toLive(vhost, "queue", name)}>Live messages</a>
      <${Destructive} queue=${it} where=${where} retains=${retains} onPurged=${reload} />
    <//>
    <${Problem} error=${error} />
    <${Tiles} tiles=${retains ? streamTiles(it) : [
      ["Ready", count(it.messages_ready), it.message_bytes_ready ? bytes(it.message_bytes_ready) : ""],
      ["Unacked", count(it.messages_unacknowledged), it.message_bytes_unacknowledged ? bytes(it.message_bytes_unacknowledged) : ""],
      ...(it.messages_delayed ? [["Delayed", count(it.messages_delayed), `the first until ${time(it.next_delayed_at)}`]] : []),
      ...(it.messages_parked ? [["Parked", count(it.messages_parked), plural(it.groups_parked, "group")]] : []),
      ["Total", count(it.messages), it.message_bytes ? bytes(it.message_bytes) : ""],
      ["Consumers", count(it.consumers)],
      ["Consumer capacity", typeof it.consumer_capacity === "number" ? `${Math.round(it.consumer_capacity * 100)} %` : "–"],
    ]} />
    <div class="grid two even">
      <${LengthsChart} totals=${it} />
      <${RatesChart} stats=${it.message_stats} />
    </div>
    <${Bindings} kind="queue" vhost=${vhost} name=${name} bindings=${bindings.data} error=${bindings.error} onChange=${bindings.reload} />
    ${it.groups !== undefined && html`<${Groups} queue=${it} vhost=${vhost} name=${name} onChange=${reload} />`}
    <div class="grid two">
      <${Messages} vhost=${vhost} name=${name} onChange=${reload} ready=${it.messages_ready} retains=${retains} deadLetters=${it.dead_letters > 0} />
      <${Card} title="Details">
        <${Facts} rows=${[
          ["Virtual host", html`<span class="mono">${it.vhost}</span>`],
          ["Durable", it.durable ? "yes" : "no"],
          ["Auto-delete", it.auto_delete ? "yes" : ""],
          ["Exclusive to", it.exclusive ? it.owner_pid_details?.name ?? "a connection" : ""],
          ["Policy", it.policy],
          ["Operator policy", it.operator_policy],
          Object.keys(effective).length > 0 && ["In force by policy", html`<${Values} table=${effective} />`],
          Object.keys(it.arguments ?? {}).length > 0 && ["Arguments", html`<${Values} table=${it.arguments} />`],
          it.redeclared_with && ["Declared differently", html`<${Differences} of=${it.redeclared_with} />`],
          ["Memory", typeof it.memory === "number" ? bytes(it.memory) : ""],
          ["Oldest message", it.head_message_timestamp ? time(it.head_message_timestamp * 1000) : ""],
          ["Oldest message stored", it.first_timestamp ? time(it.first_timestamp) : ""],
          ["Readers", it.readers && Object.entries(it.readers).map(([node, readers]) => `${count(readers)} on ${node}`).join(", ")],
          ["Single active consumer", it.single_active_consumer_tag],
          ["Leader", it.leader && html`<span class="mono">${it.leader}</span>`],
          ["Node", !it.leader && html`<span class="mono">${it.node}</span>`],
          ["Delayed retry", it.delayed_retry === "disabled" ? "" : it.delayed_retry],
          ["Consumer timeout action", it.consumer_timeout_action],
          ["Consumer timeout renewal", it.consumer_timeout_renew],
          ["Deliveries timed out", it.deliveries_timed_out === undefined ? "" : count(it.deliveries_timed_out)],
          ["Duplicates dropped", it.messages_deduplicated === undefined ? "" : count(it.messages_deduplicated)],
          ["Messages replaced", it.messages_replaced === undefined ? "" : count(it.messages_replaced)],
          ["Idle since", it.idle_since],
        ]} />
      <//>
    </div>
    ${retains
      ? html`<${Card} title="Read messages"><${StreamMessages} key=${where} vhost=${vhost} name=${name} first=${it.first_offset} /><//>`
      : html`<${Card} title="Browse messages"><${BrowseMessages} key=${where} vhost=${vhost} name=${name} onChange=${reload} /><//>`}
    <${Card} title="Consumers">
      <${Table} caption="Consumers" rows=${it.consumer_details ?? []} rowKey=${(row) => `${row.channel_details?.name} ${row.consumer_tag}`} empty="No consumers." columns=${CONSUMER} />
    <//>`;
}

const streamTiles = (it) => [
  ["Messages", count(it.messages), it.stored_bytes ? bytes(it.stored_bytes) : ""],
  ["First offset", it.messages ? count(it.first_offset) : "–"],
  ["Last offset", it.messages ? count(it.last_offset) : "–"],
  ["Segments", count(it.segments)],
  ["Consumers", count(it.consumers)],
];

const CONSUMER = [
  { id: "tag", title: "Tag", class: "mono", cell: (it) => it.consumer_tag },
  { id: "channel", title: "Channel", class: "wide", cell: (it) => html`
    <${Named} name=${it.channel_details?.name} address=${toChannel(it.channel_details?.name ?? "")} client=${it.channel_details?.user_provided_name} />` },
  { id: "ack", title: "Acks", cell: (it) => (it.ack_required ? "manual" : "auto") },
  { id: "prefetch", title: "Prefetch", num: true, cell: (it) => count(it.prefetch_count) },
  { id: "active", title: "Active", cell: (it) => (it.active === false ? "waiting" : "yes") },
  { id: "exclusive", title: "Exclusive", cell: (it) => (it.exclusive ? "yes" : "") },
  { id: "timeout", title: "Timeout", cell: (it) => it.consumer_timeout_action && `${span(it.consumer_timeout)}: ${it.consumer_timeout_action}` },
  { id: "arguments", title: "Arguments", cell: (it) => html`<${Values} table=${it.arguments} />` },
];

/** Arguments of declarations that were accepted although they differ from those of the queue. */
function Differences({ of }) {
  const shown = (value) => (value === null ? "none" : JSON.stringify(value));
  return of.map((it) => html`
    <div class="mono" key=${JSON.stringify(it)}>${it.argument}: ${shown(it.declared)} instead of ${shown(it.queue)}</div>`);
}

function Destructive({ queue, where, retains, onPurged }) {
  const { name } = queue;
  const delayed = queue.messages_delayed ?? 0;
  const leaving = (queue.messages_ready ?? 0) + delayed;
  const waiting = plural(leaving, "message");
  const purge = async () => {
    const done = await afterAsking({
      title: `Purge the queue ${name}?`, button: "Purge queue", action: () => del(`${where}/contents`), done: `The queue ${name} was purged.`,
      text: `${waiting} that ${leaving === 1 ? "is" : "are"} ready${delayed ? " or delayed" : ""} will be gone for good. Those that consumers hold stay.`,
    });
    if (done) onPurged();
  };
  const remove = async () => {
    const done = await afterAsking({
      title: `Delete the queue ${name}?`, button: "Delete queue", action: () => del(where), done: `The queue ${name} was deleted.`,
      text: `Its ${waiting} and its bindings go with it, and its ${plural(queue.consumers ?? 0, "consumer")} will be cancelled.`,
    });
    if (done) go("#/queues");
  };
  return html`
    ${!retains && html`<button type="button" onClick=${purge}>Purge</button>`}
    <button type="button" class="danger" onClick=${remove}>Delete</button>`;
}

/**
 * Returns the tabs of a queue. retains: messages stay in it. deadLetters: it got some since the start. redrives: dead letters
 * can be redriven.
 */
function tabsOf(retains, deadLetters, redrives) {
  if (retains) return [["publish", "Publish"]];
  const tabs = [["publish", "Publish"], ["get", "Get"]];
  if (!deadLetters) tabs.push(["move", "Move"]);
  // If the queue got none since the start, it may have some from before.
  if (redrives) tabs.push(["redrive", "Redrive"]);
  return tabs;
}

/** The tabs to publish, get, and move messages, which are redriven if they are dead letters. */
function Messages({ vhost, name, ready, retains, deadLetters, onChange }) {
  const { overview } = useSession();
  const tabs = tabsOf(retains, deadLetters, overview?.amqpbroker?.extensions === true);
  const [chosen, setTab] = useState("publish");
  const tab = tabs.some(([id]) => id === chosen) ? chosen : "publish";
  const turn = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = tabs.findIndex(([id]) => id === tab);
    const [next] = tabs[(place + step + tabs.length) % tabs.length];
    setTab(next);
    event.currentTarget.querySelector(`#tab-${next}`).focus();
  };
  return html`
    <${Card} title="Messages">
      <div class="tabs" role="tablist" aria-label="Messages" onKeyDown=${turn}>
        ${tabs.map(([id, text]) => html`
          <button type="button" role="tab" key=${id} id=${`tab-${id}`} aria-selected=${tab === id} aria-controls=${`panel-${id}`}
            tabindex=${tab === id ? 0 : -1} onClick=${() => setTab(id)}>${text}</button>`)}
      </div>
      ${tabs.map(([id]) => html`
        <div role="tabpanel" key=${id} id=${`panel-${id}`} aria-labelledby=${`tab-${id}`} hidden=${tab !== id}>
          ${id === "publish" && html`<${Publish} vhost=${vhost} exchange="" routingKey=${name} onPublished=${onChange} />`}
          ${id === "get" && html`<${GetMessages} vhost=${vhost} name=${name} onGot=${onChange} />`}
          ${id === "move" && html`<${Move} vhost=${vhost} name=${name} ready=${ready} onMoved=${onChange} />`}
          ${id === "redrive" && tab === id && html`<${Redrive} vhost=${vhost} name=${name} ready=${ready} onChange=${onChange} />`}
        </div>`)}
    <//>`;
}

function Move({ vhost, name, ready, onMoved }) {
  const { vhosts } = useSession();
  const [target, setTarget] = useState(vhost);
  const [moved, setMoved] = useState(null);
  const move = async (form) => {
    const body = { destination: form.destination, destination_vhost: target };
    if (form.count !== "") body.count = Number(form.count);
    const answer = await post(path("queues", vhost, name, "move"), body);
    setMoved({ count: answer.moved, to: form.destination, vhost: target });
    announce(`${plural(answer.moved, "message")} moved to ${form.destination}.`);
    onMoved();
  };
  return html`
    <${Form} label="Move messages" submit="Move messages" onSubmit=${move}>
      <div class="fields">
        <${NameField} of="queues" vhost=${target} label="To queue" name="destination" required />
        ${vhosts.length > 1 && html`
          <${Field} label="In virtual host" name="destination_vhost" options=${vhosts} chosen=${target} onChange=${(event) => setTarget(event.currentTarget.value)} />`}
        <${Field} label="How many" name="count" type="number" min="1" placeholder="all" hint=${`${plural(ready ?? 0, "message")} ready`} />
      </div>
    <//>
    ${moved && html`<p>${plural(moved.count, "message")} moved to <a class="mono" href=${toQueue(moved.vhost, moved.to)}>${moved.to}</a>.</p>`}`;
}
