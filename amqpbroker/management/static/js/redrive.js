// Redrive: a form that moves dead letters back, and the progress of the last tasks.

import { html } from "./view.js";
import { del, get, path, post } from "./api.js";
import { announce } from "./announce.js";
import { afterAsking } from "./change.js";
import { Field, Form } from "./form.js";
import { count, plural, time } from "./format.js";
import { useLive } from "./live.js";
import { NameField } from "./names.js";
import { Badge, Meter, Problem } from "./parts.js";

const REASONS = [["", "any"], "rejected", "expired", "maxlen", "delivery_limit", "group", "superseded", "replaced"];
const KINDS = { RUNNING: "type", CANCELLED: "warn", FAILED: "warn" };

export function Redrive({ vhost, name, ready, onChange }) {
  const where = path("queues", vhost, name, "redrive");
  const { data: tasks, error, reload } = useLive(where, (signal) => get(where, signal));
  const start = async (form) => {
    const body = {};
    if (form.destination !== "") body.destination = form.destination;
    if (form.reason !== "") body.filter = { reason: form.reason };
    if (form.rate !== "") body.max_messages_per_second = Number(form.rate);
    if (form.limit !== "") body.limit = Number(form.limit);
    await post(where, body);
    announce(`The redrive of ${name} was started.`);
    reload();
    onChange();
  };
  const cancel = async () => {
    const done = await afterAsking({
      title: `Cancel the redrive of ${name}?`, button: "Cancel redrive", action: () => del(where), done: `The redrive of ${name} was cancelled.`,
      text: "Messages that were moved stay where they are. The others stay in this queue.",
    });
    if (done) reload();
  };
  return html`
    <${Form} label="Redrive messages" submit="Redrive messages" onSubmit=${start}>
      <p class="dim">Moves messages back to the queues in which they died, as they were before.</p>
      <div class="fields">
        <${Field} label="Died because of" name="reason" options=${REASONS} chosen="" />
        <${NameField} of="queues" vhost=${vhost} label="To another queue" name="destination" placeholder="where each died" />
        <${Field} label="How many" name="limit" type="number" min="1" placeholder="all" hint=${`${plural(ready ?? 0, "message")} ready`} />
        <${Field} label="At most a second" name="rate" type="number" min="1" placeholder="no limit" hint="messages" />
      </div>
    <//>
    <${Problem} error=${error} />
    <div class="messages">
      ${tasks?.map((task) => html`<${Task} key=${task.task_handle} task=${task} onCancel=${cancel} />`)}
    </div>`;
}

function Task({ task, onCancel }) {
  const { state, moved, left, failed, skipped } = task;
  const done = moved + failed + skipped;
  const parts = [`${count(moved)} moved`, `${count(left)} left`, failed && `${count(failed)} failed`, skipped && `${count(skipped)} skipped`];
  const why = task.reason ?? task.last_failure;
  return html`
    <article class="message" aria-label=${`Redrive of ${time(task.started_at)}`}>
      <header class="message-head">
        <h3>${time(task.started_at)}</h3>
        <span class="badges">
          <${Badge} text=${state.toLowerCase()} kind=${KINDS[state]} />
          ${state === "RUNNING" && html`<button type="button" class="quiet" onClick=${onCancel}>Cancel redrive</button>`}
        </span>
      </header>
      <div class="meters">
        <${Meter} label="Progress" value=${done} max=${done + left} text=${parts.filter(Boolean).join(", ")} bad=${state === "FAILED"} good />
      </div>
      ${why && html`<p class="dim">${why}</p>`}
    </article>`;
}
