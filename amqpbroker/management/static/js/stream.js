// The messages in a stream, read from any offset: later ones and earlier ones, without a consumer.

import { html, useRef, useState } from "./view.js";
import { path, post } from "./api.js";
import { announce } from "./announce.js";
import { Dialog } from "./dialog.js";
import { Field, Form } from "./form.js";
import { bytes, count, plural } from "./format.js";
import { LONGEST_PAYLOAD_BYTES, Message } from "./messages.js";
import { Table } from "./table.js";

const STARTS = [["first", "First message"], ["last", "Last messages"], ["offset", "Offset"], ["time", "Time"]];
const PAGE = 50;
const PREVIEW = 80;

/** The reader of a stream. first: offset of the oldest message. */
export function StreamMessages({ vhost, name, first }) {
  const where = path("queues", vhost, name, "peek");
  const [from, setFrom] = useState("first");
  // earliest and next: the offsets of the first message that was examined, and behind the last one.
  const [reading, setReading] = useState(null);
  const [opened, setOpened] = useState(null);
  const running = useRef(0);

  // A search of a long stream is a sequence of requests; the number of the search tells if it was replaced or stopped.
  const later = async (start, before) => {
    const run = ++running.current;
    const wanted = before.rows.length + PAGE;
    let now = { ...before, isEnd: false, busy: true };
    let place = start;
    setReading(now);
    try {
      do {
        const left = wanted - now.rows.length;
        const answer = await post(where, { ...place, filter: now.filter, count: left, truncate: LONGEST_PAYLOAD_BYTES });
        if (run !== running.current) return;
        now = {
          ...now, rows: [...now.rows, ...answer.messages], earliest: now.earliest ?? answer.offset, next: answer.next_offset,
          examined: now.examined + answer.examined, isEnd: answer.cursor === null,
        };
        place = { offset: answer.next_offset };
        setReading(now);
      } while (!now.isEnd && now.rows.length < wanted);
    } finally {
      if (run === running.current) setReading({ ...now, busy: false });
    }
  };
  // One answer may end early, so the messages before are shown when all of them have been read.
  const earlier = async () => {
    const run = ++running.current;
    const { filter, earliest: end } = reading;
    let next = Math.max(end - PAGE, 0);
    let earliest = end;
    let examined = 0;
    const rows = [];
    setReading({ ...reading, busy: true });
    try {
      while (next < end) {
        const answer = await post(where, { offset: next, filter, count: end - next, truncate: LONGEST_PAYLOAD_BYTES });
        if (run !== running.current) return;
        next = answer.cursor === null ? end : Math.min(answer.next_offset, end);
        earliest = Math.min(earliest, answer.offset);
        examined += Math.max(next - answer.offset, 0);
        rows.push(...answer.messages.filter((it) => it.position < end));
      }
      setReading({ ...reading, rows: [...rows, ...reading.rows], earliest, examined: reading.examined + examined, busy: false });
    } catch (error) {
      if (run === running.current) setReading({ ...reading, busy: false });
      throw error;
    }
  };
  const start = (form) => {
    const filter = {};
    if (form.header) filter.header = { [form.header]: form.value };
    if (form.text) filter.body = form.text;
    return later(placeOf(form), { filter, rows: [], earliest: null, next: 0, examined: 0 });
  };
  const tried = (action) => () => action().catch((error) => announce(error.message));
  const stop = () => {
    running.current += 1;
    setReading({ ...reading, busy: false });
  };

  const hasEarlier = reading !== null && !reading.busy && reading.earliest > (first ?? 0);
  const columns = [
    { id: "offset", title: "Offset", num: true, cell: (it) => html`
      <button type="button" class="quiet" aria-label=${`Open message ${it.position}`} onClick=${() => setOpened(it)}>${count(it.position)}</button>` },
    { id: "exchange", title: "Exchange", class: "mono", cell: (it) => it.exchange },
    { id: "key", title: "Routing key", class: "mono", cell: (it) => it.routing_key },
    { id: "headers", title: "Headers", class: "mono", cell: (it) => preview(headersOf(it)) },
    { id: "payload", title: "Payload", class: "mono wide", cell: (it) => preview(it.payload) },
    { id: "size", title: "Size", num: true, cell: (it) => bytes(it.payload_bytes) },
  ];
  return html`
    <${Form} label="Read messages" submit="Read messages" onSubmit=${start}>
      <div class="fields">
        <${Field} label="Begin at" name="from" options=${STARTS} chosen=${from} onChange=${(event) => setFrom(event.currentTarget.value)} />
        ${from === "offset" && html`<${Field} label="First offset" name="offset" type="number" min="0" defaultValue=${first ?? 0} required />`}
        ${from === "time" && html`<${Field} label="Stored since" name="time" type="datetime-local" step="1" required />`}
        <${Field} label="Header" name="header" placeholder="any" />
        <${Field} label="Value of the header" name="value" />
        <${Field} label="Text in the payload" name="text" placeholder="any" />
      </div>
    <//>
    ${reading && html`<div class="browsed">
      <div class="toolbar">
        <p class="shown" aria-live="polite">${plural(reading.rows.length, "message")} found, ${count(reading.examined)} examined</p>
        <div class="toolbar-end">
          ${hasEarlier && html`<button type="button" onClick=${tried(earlier)}>Show earlier</button>`}
        </div>
      </div>
      <${Table} caption="Messages in the stream" columns=${columns} rows=${reading.rows} rowKey=${(it) => it.position} busy=${reading.busy}
        empty=${reading.busy ? "Searching…" : "No message was found."} />
      <div class="actions">
        ${reading.busy && html`<button type="button" onClick=${stop}>Stop</button>`}
        ${!reading.busy && html`
          <button type="button" onClick=${tried(() => later({ offset: reading.next }, reading))}>${reading.isEnd ? "Show new messages" : "Show later"}</button>`}
      </div>
    </div>`}
    ${opened && html`
      <${Dialog} title=${`Message ${opened.position}`} wide onClose=${() => setOpened(null)}>
        <${Message} message=${opened} title=${`Offset ${count(opened.position)}`} />
      <//>`}`;
}

/** Returns the keys of a peek request that name its start. */
function placeOf(form) {
  if (form.from === "offset") return { offset: Number(form.offset) };
  if (form.from === "time") return { written_at: new Date(form.time).getTime() };
  return { offset: form.from === "last" ? -PAGE : "first" };
}

/** Returns the headers of a message without its offset, which has a column of its own. */
function headersOf(it) {
  const { "x-stream-offset": _, ...headers } = it.properties?.headers ?? {};
  return Object.keys(headers).length > 0 ? JSON.stringify(headers) : "";
}

const preview = (text) => (text.length > PREVIEW ? `${text.slice(0, PREVIEW)}…` : text);
