// The messages in a queue, read without consuming them: search, display, and actions on chosen ones.

import { html, useRef, useState } from "./view.js";
import { get, path, post } from "./api.js";
import { announce } from "./announce.js";
import { afterAsking } from "./change.js";
import { Dialog } from "./dialog.js";
import { Field, Form } from "./form.js";
import { bytes, count, plural, time } from "./format.js";
import { LONGEST_PAYLOAD_BYTES, Message } from "./messages.js";
import { Badge } from "./parts.js";
import { Table } from "./table.js";

const STATES = [["ready", "Ready"], ["unacked", "Unacknowledged"], ["delayed", "Delayed"], ["parked", "Parked"]];
const PAGE = 50;
const PREVIEW = 80;
/** Maximum number of messages that a request names. */
const NAMED = 1000;
const POLL_MS = 100;

export function BrowseMessages({ vhost, name, onChange }) {
  const where = path("queues", vhost, name);
  // What was searched for, and what was found so far. cursor: null if no message is left.
  const [search, setSearch] = useState(null);
  const [chosen, setChosen] = useState(new Set());
  const [opened, setOpened] = useState(null);
  const running = useRef(0);

  // A search of a long queue is a sequence of requests; the number of the search tells if it was replaced or stopped.
  const read = async (query, found, cursor, examined) => {
    const run = ++running.current;
    const wanted = found.length + PAGE;
    let now = { query, found, cursor, examined, busy: true };
    setSearch(now);
    try {
      do {
        const answer = await post(`${where}/peek`, { ...query, cursor: now.cursor, count: wanted - now.found.length, truncate: LONGEST_PAYLOAD_BYTES });
        if (run !== running.current) return;
        now = { ...now, found: [...now.found, ...answer.messages], cursor: answer.cursor, examined: now.examined + answer.examined };
        setSearch(now);
      } while (now.cursor !== null && now.found.length < wanted);
    } finally {
      if (run === running.current) setSearch({ ...now, busy: false });
    }
  };
  const start = async (form) => {
    const filter = {};
    if (form.header) filter.header = { [form.header]: form.value };
    if (form.text) filter.body = form.text;
    setChosen(new Set());
    await read({ state: form.state, filter }, [], null, 0);
  };
  const more = () => read(search.query, search.found, search.cursor, search.examined).catch((error) => announce(error.message));
  const stop = () => {
    running.current += 1;
    setSearch({ ...search, busy: false });
  };

  const rows = search?.found ?? [];
  const selection = rows.filter((it) => chosen.has(it.position));
  const choose = (it) => {
    const next = new Set(chosen);
    if (!next.delete(it.position)) next.add(it.position);
    setChosen(next);
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(JSON.stringify(selection, null, 2));
      announce(`${plural(selection.length, "message")} copied as JSON.`);
    } catch {
      announce("The browser did not allow copying.");
    }
  };
  const discard = async () => {
    const done = await afterAsking({
      title: `Discard ${plural(selection.length, "message")}?`, button: "Discard messages",
      text: "They will be gone for good, and are not dead-lettered. Those that were delivered meanwhile stay.",
      action: async () => {
        let discarded = 0;
        for (const messages of named(selection)) discarded += (await post(`${where}/discard`, { messages })).discarded;
        announce(`${plural(discarded, "message")} discarded.`);
      },
    });
    if (done) removed();
  };
  const redrive = async () => {
    let stayed = 0;
    const done = await afterAsking({
      title: `Redrive ${plural(selection.length, "message")}?`, button: "Redrive messages",
      text: "They go back to the queues in which they died, as they were before. Those that were delivered meanwhile stay.",
      action: async () => {
        let moved = 0;
        let why = "";
        for (const messages of named(selection)) {
          const task = await redriven(`${where}/redrive`, messages);
          moved += task.moved;
          stayed += task.failed;
          why = task.last_failure ?? why;
        }
        announce(`${plural(moved, "message")} redriven${stayed ? `, ${count(stayed)} could not be moved: ${why}` : ""}.`);
      },
    });
    if (!done) return;
    if (!stayed) removed();
    else {
      // Some of the messages are still there.
      setChosen(new Set());
      onChange();
      read(search.query, [], null, 0).catch((error) => announce(error.message));
    }
  };
  const removed = () => {
    setSearch({ ...search, found: rows.filter((it) => !chosen.has(it.position)) });
    setChosen(new Set());
    onChange();
  };

  const columns = [
    { id: "position", title: "Position", num: true, cell: (it) => html`
      <button type="button" class="quiet" aria-label=${`Open message ${it.position}`} onClick=${() => setOpened(it)}>${count(it.position)}</button>` },
    { id: "chosen", title: "", label: "Chosen", cell: (it) => html`
      <input type="checkbox" aria-label=${`Choose message ${it.position}`} checked=${chosen.has(it.position)} onChange=${() => choose(it)} />` },
    { id: "key", title: "Routing key", class: "mono", cell: (it) => it.routing_key },
    { id: "headers", title: "Headers", class: "mono", cell: (it) => preview(headersOf(it)) },
    { id: "payload", title: "Payload", class: "mono wide", cell: (it) => preview(it.payload) },
    { id: "size", title: "Size", num: true, cell: (it) => bytes(it.payload_bytes) },
    { id: "more", title: "State", cell: (it) => html`
      ${it.redelivered && html`<${Badge} text="redelivered" />`}
      ${it.due_at && html`<span class="dim">until ${time(it.due_at)}</span>`}
      ${it.consumer_tag && html`<span class="mono">${it.consumer_tag}</span>`}` },
  ];
  return html`
    <${Form} label="Browse messages" submit="Show messages" onSubmit=${start}>
      <div class="fields">
        <${Field} label="State" name="state" options=${STATES} chosen="ready" />
        <${Field} label="Header" name="header" placeholder="any" />
        <${Field} label="Value of the header" name="value" />
        <${Field} label="Text in the payload" name="text" placeholder="any" />
      </div>
    <//>
    ${search && html`<div class="browsed">
      <div class="toolbar">
        <p class="shown" aria-live="polite">${plural(rows.length, "message")} found, ${count(search.examined)} examined</p>
        <div class="toolbar-end">
          ${rows.length > 0 && html`
            <button type="button" class="quiet" onClick=${() => setChosen(new Set(chosen.size === rows.length ? [] : rows.map((it) => it.position)))}>
              ${chosen.size === rows.length ? "Choose none" : "Choose all"}</button>`}
          ${selection.length > 0 && navigator.clipboard && html`<button type="button" onClick=${copy}>Copy as JSON</button>`}
          ${selection.some(hasDied) && search.query.state === "ready" && html`<button type="button" onClick=${redrive}>Redrive</button>`}
          ${selection.length > 0 && ["ready", "parked"].includes(search.query.state) && html`<button type="button" class="danger" onClick=${discard}>Discard</button>`}
        </div>
      </div>
      <${Table} caption="Messages in the queue" columns=${columns} rows=${rows} rowKey=${(it) => it.position} busy=${search.busy}
        empty=${search.busy ? "Searching…" : "No message was found."} />
      <div class="actions">
        ${search.busy && html`<button type="button" onClick=${stop}>Stop</button>`}
        ${!search.busy && search.cursor !== null && html`<button type="button" onClick=${more}>Show more</button>`}
      </div>
    </div>`}
    ${opened && html`
      <${Dialog} title=${`Message ${opened.position}`} wide onClose=${() => setOpened(null)}>
        <${Message} message=${opened} title=${`Position ${count(opened.position)}`} facts=${[
          opened.due_at && ["Delayed until", time(opened.due_at)],
          opened.consumer_tag && ["Held by consumer", html`<span class="mono">${opened.consumer_tag}</span>`],
        ]} />
      <//>`}`;
}

/** Returns lists of the positions and checksums of messages, each short enough for a request. */
function named(messages) {
  const all = messages.map(({ position, checksum }) => ({ position, checksum }));
  return Array.from({ length: Math.ceil(all.length / NAMED) }, (_, i) => all.slice(i * NAMED, (i + 1) * NAMED));
}

/** Redrives messages of a queue, waits for the end, and returns the task. */
async function redriven(where, messages) {
  const { task_handle: handle } = await post(where, { filter: { messages } });
  for (;;) {
    const task = (await get(where)).find((it) => it.task_handle === handle);
    if (task === undefined) throw new Error("The queue was deleted.");
    if (task.state === "FAILED") throw new Error(task.reason);
    if (task.state !== "RUNNING") return task;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const hasDied = (it) => it.properties?.headers?.["x-death"] !== undefined;

const headersOf = (it) => (it.properties?.headers ? JSON.stringify(it.properties.headers) : "");

const preview = (text) => (text.length > PREVIEW ? `${text.slice(0, PREVIEW)}…` : text);
