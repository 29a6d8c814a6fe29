// Messages of a queue: a form to get them, and their display.

import { html, useState, useRef } from "./view.js";
import { path, post } from "./api.js";
import { announce } from "./announce.js";
import { Field, Form } from "./form.js";
import { Badge, Facts, Values } from "./parts.js";
import { bytes, exchangeName, plural } from "./format.js";

const MODES = [
  ["ack_requeue_true", "Nack, put them back"], ["ack_requeue_false", "Ack, take them out"],
  ["reject_requeue_true", "Reject, put them back"], ["reject_requeue_false", "Reject, drop or dead-letter them"],
];

// The server truncates longer payloads.
export const LONGEST_PAYLOAD_BYTES = 50000;

export function GetMessages({ vhost, name, onGot }) {
  const [messages, setMessages] = useState(null);
  const results = useRef(null);
  const get = async (form) => {
    const found = await post(path("queues", vhost, name, "get"), {
      count: Number(form.count),
      ackmode: form.ackmode,
      encoding: form.encoding,
      truncate: LONGEST_PAYLOAD_BYTES,
    });
    setMessages(found);
    announce(found.length > 0 ? `Got ${plural(found.length, "message")}.` : "The queue has no message that is ready.");
    onGot?.();
  };
  return html`
    <${Form} label="Get messages" submit="Get messages" onSubmit=${get}>
      <div class="fields">
        <${Field} label="How many" name="count" type="number" min="1" max="1000" defaultValue="1" required />
        <${Field} label="Acknowledgement" name="ackmode" options=${MODES} chosen="ack_requeue_true"
          hint="Messages that are put back are marked as redelivered." />
        <${Field} label="Payload as" name="encoding" options=${[["auto", "text if possible"], ["base64", "base64"]]} chosen="auto" />
      </div>
    <//>
    <div ref=${results} class="messages">
      ${messages?.length === 0 && html`<p class="empty">The queue has no message that is ready.</p>`}
      ${messages?.map((message, index) => html`
        <${Message} key=${index} message=${message} title=${`Message ${index + 1}`}
          note=${message.message_count > 0 ? `, ${plural(message.message_count, "message")} behind it` : ""} />`)}
    </div>`;
}

/** The display of a message from the API. facts: additional rows of [label, content]. */
export function Message({ message, title, note = "", facts = [] }) {
  const { headers, ...properties } = message.properties ?? {};
  return html`
    <article class="message" aria-label=${title}>
      <header class="message-head">
        <h3>${title}</h3>
        <span class="badges">
          ${message.redelivered && html`<${Badge} text="redelivered" />`}
          <span class="dim">${bytes(message.payload_bytes)}${note}</span>
        </span>
      </header>
      <${Facts} rows=${[
        ...facts,
        ["Exchange", html`<span class="mono">${exchangeName(message.exchange)}</span>`],
        ["Routing key", html`<span class="mono">${message.routing_key}</span>`],
        Object.keys(properties).length > 0 && ["Properties", html`<${Values} table=${properties} />`],
        headers && Object.keys(headers).length > 0 && ["Headers", html`<${Values} table=${headers} />`],
      ]} />
      <${Payload} message=${message} />
    </article>`;
}

function Payload({ message }) {
  const pretty = message.payload_encoding === "string" ? prettyJson(message.payload) : null;
  const [raw, setRaw] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(message.payload);
      announce("The payload was copied.");
    } catch {
      announce("The browser did not allow copying.");
    }
  };
  const cut = message.payload_encoding === "string" && message.payload_bytes > LONGEST_PAYLOAD_BYTES;
  return html`
    <div class="payload">
      <div class="payload-actions">
        ${message.payload_encoding === "base64" && html`<${Badge} text="base64" />`}
        ${cut && html`<${Badge} text="truncated" title=${`Only the first ${bytes(LONGEST_PAYLOAD_BYTES)} are shown`} kind="warn" />`}
        ${pretty !== null && html`<button type="button" class="quiet" aria-pressed=${raw} onClick=${() => setRaw(!raw)}>As sent</button>`}
        ${navigator.clipboard && html`<button type="button" class="quiet" onClick=${copy}>Copy</button>`}
      </div>
      <pre tabindex="0" role="group" aria-label="Payload">${pretty !== null && !raw ? pretty : message.payload}</pre>
    </div>`;
}

/** Returns the text indented if it is a JSON object or array, else null. */
function prettyJson(text) {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}
