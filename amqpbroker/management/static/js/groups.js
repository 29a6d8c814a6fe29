// The message groups of a queue that have stopped, with what can be done about them.

import { html } from "./view.js";
import { get, path, post } from "./api.js";
import { announce } from "./announce.js";
import { afterAsking } from "./change.js";
import { useLive } from "./live.js";
import { Card, Problem } from "./parts.js";
import { Table } from "./table.js";
import { count, plural, time } from "./format.js";

const SHOWN = 100;

export function Groups({ queue, vhost, name, onChange }) {
  const where = path("queues", vhost, name, "groups");
  const stopped = (queue.groups_parked ?? 0) + (queue.groups_closed ?? 0);
  const { data, error, reload } = useLive(`${where} ${stopped > 0}`, (signal) => load(where, stopped, signal));
  const change = (group, action, title, text, button, force = false) => async () => {
    const done = await afterAsking({ title, text, button, action: async () => {
      const answer = await post(`${where}/${action}`, { key: group.key, key_type: group.key_type, force });
      announce(answer.left === undefined
        ? `The group ${label(group)} was redriven.`
        : `The redrive of the group ${label(group)} has started. The group waits until all messages are back.`);
    } });
    if (done) {
      reload();
      onChange();
    }
  };
  const columns = [
    { id: "key", title: "Key", cell: (it) => html`<span class="mono">${it.key}</span>` },
    { id: "type", title: "Type", cell: (it) => it.key_type },
    { id: "state", title: "State", cell: (it) => state(it) },
    { id: "since", title: "Since", cell: (it) => time(it.since) },
    { id: "messages", title: "Messages", num: true, cell: (it) => count(it.messages) },
    {
      id: "actions", title: "", class: "end",
      cell: (it) => html`
        <button type="button" class="quiet" aria-label=${`Redrive group ${label(it)}`}
          onClick=${change(it, "redrive", `Redrive the group ${label(it)}?`, "Its messages are delivered again, in order.", "Redrive group")}>Redrive</button>
        <button type="button" class="quiet" aria-label=${`Discard the first message of group ${label(it)}`}
          onClick=${change(it, "discard", `Discard the first message of the group ${label(it)}?`, "It will be gone for good. The others are delivered, in order.", "Discard message")}>Discard first</button>
        ${it.redrive?.missing > 0 && html`<button type="button" class="quiet" aria-label=${`Redrive the rest of group ${label(it)}`}
          onClick=${change(it, "redrive", `Redrive the group ${label(it)} without the missing messages?`, missing(it), "Redrive the rest", true)}>Redrive the rest</button>`}`,
    },
  ];
  return html`
    <${Card} title="Stopped message groups">
      <${Problem} error=${error} />
      <p>${plural(queue.groups ?? 0, "group")}, ${count(queue.groups_parked ?? 0)} parked, ${count(queue.groups_closed ?? 0)} closed.
        ${stopped > SHOWN && ` The table shows up to ${SHOWN} of each.`}</p>
      ${data && html`<${Table} caption="Stopped message groups" rows=${data} rowKey=${(it) => `${it.key_type} ${it.key}`} columns=${columns} empty="No group has stopped." />`}
    <//>`;
}

// The state of a group, with the progress of its redrive, or the reason why that failed.
function state({ state: name, redrive }) {
  if (!redrive) return name;
  if (redrive.state !== "RUNNING") return `${name}; the redrive has failed: ${redrive.reason}`;
  const left = redrive.left === null ? "" : `, ${count(redrive.left)} left`;
  return `${name}; redrive: ${plural(redrive.moved, "message")} back${left}`;
}

function missing({ redrive }) {
  return `Not found in the dead letter queues: ${plural(redrive.missing, "message")}. The others are delivered again, in order.`;
}

// The key of a group in a text, which shows that a key is empty, or an integer.
function label({ key, key_type: type }) {
  if (type === "integer") return `${key} (integer)`;
  return key === "" ? '""' : key;
}

async function load(where, stopped, signal) {
  if (!stopped) return [];
  const pages = ["parked", "closed"].map((state) => get(`${where}?state=${state}&page=1&page_size=${SHOWN}`, signal));
  return (await Promise.all(pages)).flatMap((page) => page.items);
}
