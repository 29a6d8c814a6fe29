// A form that publishes a message.

import { html, useState } from "./view.js";
import { exchangePath, post } from "./api.js";
import { announce } from "./announce.js";
import { Arguments, Field, Form, argumentTable } from "./form.js";

const PROPERTIES = [
  { key: "content_type", type: "string", title: "Content type", value: "application/json" },
  { key: "content_encoding", type: "string", title: "Content encoding" },
  { key: "priority", type: "number", title: "Priority", hint: "0 to 255" },
  { key: "correlation_id", type: "string", title: "Correlation id" },
  { key: "reply_to", type: "string", title: "Reply to" },
  { key: "expiration", type: "string", title: "Expiration", hint: "milliseconds" },
  { key: "message_id", type: "string", title: "Message id" },
  { key: "timestamp", type: "number", title: "Timestamp", hint: "seconds since 1970" },
  { key: "type", type: "string", title: "Type" },
  { key: "user_id", type: "string", title: "User id" },
  { key: "app_id", type: "string", title: "App id" },
];

/** routingKey: the fixed key of a queue. If it is undefined, the form has a field for it. */
export function Publish({ vhost, exchange, routingKey, onPublished }) {
  const [headers, setHeaders] = useState([]);
  const [properties, setProperties] = useState([]);
  const publish = async (form) => {
    const given = { ...argumentTable(properties), delivery_mode: Number(form.delivery_mode) };
    const table = argumentTable(headers);
    if (Object.keys(table).length > 0) given.headers = table;
    const { routed } = await post(exchangePath(vhost, exchange, "publish"), {
      properties: given,
      routing_key: routingKey ?? form.routing_key,
      payload: form.payload,
      payload_encoding: form.payload_encoding,
    });
    announce(routed ? "The message was published." : "The message was published, but no queue took it.");
    onPublished?.();
  };
  return html`
    <${Form} label="Publish message" submit="Publish message" onSubmit=${publish}>
      <div class="fields">
        ${routingKey === undefined && html`<${Field} label="Routing key" name="routing_key" class="mono" />`}
        <${Field} label="Delivery" name="delivery_mode" options=${[["2", "Persistent"], ["1", "Transient"]]} chosen="2" />
        <${Field} label="Payload is" name="payload_encoding" options=${[["string", "text"], ["base64", "base64"]]} chosen="string" />
      </div>
      <${Field} label="Payload" name="payload" rows="5" wide class="mono" />
      <${Arguments} legend="Headers" rows=${headers} onChange=${setHeaders} keyLabel="Header" />
      <${Arguments} legend="Properties" rows=${properties} onChange=${setProperties} presets=${PROPERTIES} keyLabel="Property" />
    <//>`;
}
