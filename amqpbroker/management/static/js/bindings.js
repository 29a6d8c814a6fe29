// The bindings of a queue or an exchange: a picture, tables with the same content, and forms to add and remove bindings.

import { html, useState } from "./view.js";
import { del, get, path, post } from "./api.js";
import { announce } from "./announce.js";
import { BINDING_ARGUMENTS } from "./arguments.js";
import { afterAsking } from "./change.js";
import { Arguments, Field, Form, argumentTable } from "./form.js";
import { NameField } from "./names.js";
import { toExchange, toQueue } from "./router.js";
import { Card, Problem, Values } from "./parts.js";
import { BindingsPicture } from "./picture.js";
import { Table } from "./table.js";
import { exchangeName } from "./format.js";

const LETTER = { queue: "q", exchange: "e" };

// The largest number of sources whose own bindings are read.
const MOST_SOURCES = 10;

/** Returns the bindings to the sources of these bindings. */
export async function loadBefore(incoming, signal) {
  const sources = [...new Set(incoming.filter((it) => it.source !== "").map((it) => it.source))];
  if (sources.length > MOST_SOURCES) return [];
  const { vhost } = incoming[0] ?? {};
  const found = await Promise.all(sources.map((source) =>
    get(path("exchanges", vhost, source, "bindings", "destination"), signal).catch(() => [])));
  return found.flat();
}

function where(binding, ...rest) {
  const { vhost, source, destination_type, destination } = binding;
  return path("bindings", vhost, "e", source, LETTER[destination_type], destination, ...rest);
}

/** kind: "queue" or "exchange". bindings: {before, incoming, outgoing}. onChange: called after each change. */
export function Bindings({ kind, vhost, name, bindings, error, onChange }) {
  const removable = (binding) => binding.source !== "";
  const remove = async (binding) => {
    const key = binding.routing_key ? ` with the key ${binding.routing_key}` : "";
    const text = `Messages of ${binding.source}${key} no longer go to ${binding.destination}.`;
    const done = await afterAsking({
      title: "Remove this binding?", text, button: "Remove binding", action: () => del(where(binding, binding.properties_key)), done: "The binding was removed.",
    });
    if (done) onChange();
  };
  const columns = (other, shown) => [
    { id: "other", title: other, cell: shown },
    { id: "key", title: "Routing key", class: "mono wide", cell: (it) => it.routing_key },
    { id: "arguments", title: "Arguments", cell: (it) => html`<${Values} table=${it.arguments} />` },
    {
      id: "remove", title: "", class: "end",
      cell: (it) => removable(it) && html`<button type="button" class="quiet" aria-label=${`Remove binding ${it.source} ${it.routing_key} ${it.destination}`}
        onClick=${() => remove(it)}>Remove</button>`,
    },
  ];
  const from = columns("From", (it) => html`<a class="mono" href=${toExchange(vhost, it.source)}>${exchangeName(it.source)}</a>`);
  const toward = columns("To", (it) => html`
    <a class="mono" href=${it.destination_type === "queue" ? toQueue(vhost, it.destination) : toExchange(vhost, it.destination)}>${it.destination}</a>
    <small>${it.destination_type}</small>`);
  const key = (it) => `${it.source} ${it.destination_type} ${it.destination} ${it.properties_key}`;
  return html`
    <${Card} title="Bindings">
      <${Problem} error=${error} />
      ${bindings && html`
        <${BindingsPicture} kind=${kind} vhost=${vhost} name=${name} ...${bindings} />
        ${bindings.incoming.length > 0 && html`
          <${Table} caption="Bindings to this" rows=${bindings.incoming} rowKey=${key} columns=${from} />`}
        ${bindings.outgoing?.length > 0 && html`
          <${Table} caption="Bindings from this" rows=${bindings.outgoing} rowKey=${key} columns=${toward} />`}`}
      <details class="more">
        <summary>Add binding</summary>
        <${AddBinding} kind=${kind} vhost=${vhost} name=${name} onAdded=${onChange} />
      </details>
    <//>`;
}

function AddBinding({ kind, vhost, name, onAdded }) {
  const [rows, setRows] = useState([]);
  const [direction, setDirection] = useState(kind === "queue" ? "from" : "queue");
  const add = async (form) => {
    const binding = direction === "from"
      ? { vhost, source: form.other, destination_type: kind, destination: name }
      : { vhost, source: name, destination_type: direction, destination: form.other };
    await post(where(binding), { routing_key: form.routing_key, arguments: argumentTable(rows) });
    announce("The binding was added.");
    setRows([]);
    onAdded();
  };
  return html`
    <${Form} label="Add binding" submit="Add binding" onSubmit=${add} reset>
      <div class="fields">
        ${kind === "exchange" && html`
          <${Field} label="Direction" name="direction" chosen=${direction} onChange=${(event) => setDirection(event.currentTarget.value)}
            options=${[["queue", "To queue"], ["exchange", "To exchange"], ["from", "From exchange"]]} />`}
        <${NameField} of=${direction === "queue" ? "queues" : "exchanges"} vhost=${vhost} name="other" required
          label=${direction === "from" ? "From exchange" : direction === "queue" ? "To queue" : "To exchange"} />
        <${Field} label="Routing key" name="routing_key" class="mono" />
      </div>
      <${Arguments} legend="Arguments" rows=${rows} onChange=${setRows} presets=${BINDING_ARGUMENTS} />
    <//>`;
}
