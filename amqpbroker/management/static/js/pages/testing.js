import { html, useState } from "../view.js";
import { del, get, path, post } from "../api.js";
import { announce } from "../announce.js";
import { attempted } from "../change.js";
import { Arguments, Field, Form, argumentTable } from "../form.js";
import { useLive } from "../live.js";
import { Badge, Card, Facts, Heading, Problem } from "../parts.js";
import { Table } from "../table.js";
import { count, time } from "../format.js";

const UNITS = ["seconds", "minutes", "hours", "days", "milliseconds"];

const NTH = { key: "nth", type: "number", title: "Which one", hint: "3 is the third" };
const TIMES = { key: "times", type: "json", title: "How many times", hint: "1, or null for always" };
const ON = { key: "on", type: "string", title: "On method", value: "basic.publish" };
const INSTEAD = { key: "instead_of", type: "string", title: "Instead of method", value: "basic.ack" };
const QUEUE = { key: "queue", type: "string", title: "Queue" };
const EXCHANGE = { key: "exchange", type: "string", title: "Exchange" };
const PUBLISH = { key: "publish", type: "number", title: "Which publish", hint: "3 is the third" };

/** Kinds of faults: [kind, effect, arguments]. */
const FAULTS = [
  ["nack", "Reject publishes with basic.nack", [PUBLISH, EXCHANGE, TIMES]],
  ["reset", "Reset connections", [ON, INSTEAD, NTH, TIMES]],
  ["drop", "Close connections without connection.close", [ON, INSTEAD, NTH, TIMES]],
  ["withhold_confirms", "Withhold publisher confirms", [PUBLISH, TIMES]],
  ["delay_confirms", "Delay publisher confirms", [{ key: "ms", type: "number", title: "Delay", hint: "milliseconds" }]],
  ["duplicate", "Deliver a message twice", [{ key: "delivery", type: "number", title: "Which delivery" }, QUEUE, TIMES]],
  ["expire_lock", "Let a lock run out before its acknowledgement", [{ key: "ack", type: "number", title: "Which acknowledgement" }, TIMES]],
  ["refuse_declare", "Refuse declarations", [QUEUE, EXCHANGE, { key: "code", type: "number", title: "Reply code", value: "406" }, TIMES]],
  ["block", "Block publishers by an alarm", [{ key: "resource", type: "string", title: "Resource", value: "memory", options: ["memory", "disk"] }]],
  ["stop_reading", "Stop reading from clients", []],
  ["stop_writing", "Stop writing to clients", []],
  ["one_byte_writes", "Write byte by byte", []],
  ["restart", "Restart the broker", [ON, NTH, { key: "down", type: "number", title: "Down", hint: "seconds" }]],
  ["random", "Fail at random", [{ key: "seed", type: "number", title: "Seed" }, { key: "rate", type: "number", title: "Rate", value: "0.01" }]],
];

export function Testing() {
  return html`
    <${Heading} title="Testing" />
    <p class="lead">This broker runs with --testing: tests can advance its clock and inject faults.</p>
    <div class="grid two">
      <${Clock} />
      <${Faults} />
    </div>`;
}

function Clock() {
  const { data: clock, error, reload } = useLive("testing/clock", (signal) => get("testing/clock", signal));
  const advance = async (form) => {
    const after = await post("testing/clock/advance", { [form.unit]: Number(form.amount) });
    announce(`The clock was advanced by ${form.amount} ${form.unit}. It is ${time(after.now_ms)}.`);
    reload();
  };
  const toggle = async () => {
    await attempted(() => post(`testing/clock/${clock.frozen ? "resume" : "freeze"}`), clock.frozen ? "The clock runs again." : "The clock stands still.");
    reload();
  };
  return html`
    <${Card} title="Clock" actions=${clock && html`<button type="button" onClick=${toggle}>${clock.frozen ? "Resume clock" : "Freeze clock"}</button>`}>
      <${Problem} error=${error} />
      ${clock && html`<${Facts} rows=${[["Broker's time", time(clock.now_ms)], ["State", clock.frozen ? "frozen" : "running"]]} />`}
      <${Form} label="Advance clock" submit="Advance clock" onSubmit=${advance}>
        <div class="fields">
          <${Field} label="Advance by" name="amount" type="number" min="0" step="any" defaultValue="1" required />
          <${Field} label="Unit" name="unit" options=${UNITS} chosen="minutes" />
        </div>
      <//>
    <//>`;
}

function Faults() {
  const { data, error, reload } = useLive("testing/faults", (signal) => get("testing/faults", signal));
  const [kind, setKind] = useState("nack");
  const [rows, setRows] = useState([]);
  const presets = FAULTS.find(([name]) => name === kind)[2];
  const add = async (form) => {
    const only = Object.fromEntries(["connection", "user", "vhost"].map((name) => [name, form[name]]).filter(([, value]) => value !== ""));
    const fault = await post("testing/faults", { kind, ...argumentTable(rows), ...(Object.keys(only).length > 0 ? { only } : {}) });
    announce(`The fault ${fault.fault} was added.`);
    setRows([]);
    reload();
  };
  const remove = async (it) => {
    await attempted(() => del(path("testing", "faults", it.id)), `The fault ${it.fault} was removed.`);
    reload();
  };
  const clear = async () => {
    await attempted(() => del("testing/faults"), "All faults were removed.");
    reload();
  };
  return html`
    <div class="stack">
      <${Card} title="Faults" actions=${data?.faults.length > 0 && html`<button type="button" onClick=${clear}>Remove all</button>`}>
        <${Problem} error=${error} />
        ${data && html`
          <${Table} caption="Faults" rows=${data.faults} rowKey=${(it) => it.id} empty="No faults." columns=${[
            { id: "fault", title: "Fault", class: "mono", cell: (it) => it.fault },
            { id: "struck", title: "Triggered", num: true, cell: (it) => count(it.struck) },
            { id: "active", title: "State", cell: (it) => html`<${Badge} text=${it.active ? "active" : "used up"} />` },
            {
              id: "remove", title: "", class: "end",
              cell: (it) => html`<button type="button" class="quiet" aria-label=${`Remove fault ${it.fault}`} onClick=${() => remove(it)}>Remove</button>`,
            },
          ]} />`}
        <details class="more" open>
          <summary>Add fault</summary>
          <${Form} label="Add fault" submit="Add fault" onSubmit=${add}>
            <${Field} label="Fault" name="kind" options=${FAULTS.map(([name, text]) => [name, text])} chosen=${kind}
              onChange=${(event) => { setKind(event.currentTarget.value); setRows([]); }} />
            <div class="fields">
              <${Field} label="Only the user" name="user" placeholder="any" class="mono" />
              <${Field} label="Only the virtual host" name="vhost" placeholder="any" class="mono" />
              <${Field} label="Only the connection" name="connection" placeholder="any" class="mono" hint="The client's name for it" />
            </div>
            <${Arguments} legend="Arguments" rows=${rows} onChange=${setRows} presets=${presets} />
          <//>
        </details>
      <//>
      <${Card} title="Triggered faults">
        <${Table} caption="Triggered faults" rows=${[...(data?.happened ?? [])].reverse().slice(0, 50)} empty="No fault was triggered." columns=${[
          { id: "what", title: "Event", cell: (it) => it.what },
          { id: "fault", title: "Fault", class: "mono", cell: (it) => it.fault },
          { id: "connection", title: "Connection", class: "mono wide", cell: (it) => it.connection },
          { id: "at", title: "Broker's time", cell: (it) => time(it.at) },
        ]} />
      <//>
    </div>`;
}
