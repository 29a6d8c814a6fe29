import { html, useEffect, useRef, useState } from "../view.js";
import { Field, Form } from "../form.js";
import { Message } from "../messages.js";
import { NameField } from "../names.js";
import { Card, Heading, Problem } from "../parts.js";
import { go, to, toExchange, toQueue } from "../router.js";
import { firstVhost, useSession } from "../session.js";
import { Tail, isGone } from "../tail.js";
import { exchangeName, plural } from "../format.js";

const MOST_SHOWN = 200;
const EVERY_MS = 500;

/** Returns the address of the live messages of a queue or an exchange. */
export const toLive = (vhost, kind, name) => to(["live", vhost, kind, name || "amq.default"]);

export function Live({ names }) {
  if (!names) return html`<${Choice} />`;
  const [vhost, kind, given] = names;
  return html`<${Messages} vhost=${vhost} kind=${kind} name=${kind === "exchange" && given === "amq.default" ? "" : given} />`;
}

function Choice() {
  const session = useSession();
  const [kind, setKind] = useState("queue");
  const [vhost, setVhost] = useState(firstVhost(session));
  return html`
    <${Heading} title="Live messages" />
    <p class="lead">Shows the messages of a queue or an exchange as they are published and delivered. No message is taken out of a
      queue. While a queue or a direct exchange is shown, every message of its virtual host is traced, which slows it down.</p>
    <${Card} title="Show the messages of">
      <${Form} label="Show messages" submit="Show messages" onSubmit=${(form) => go(toLive(vhost, kind, form.name))}>
        <div class="fields">
          <${Field} label="Virtual host" name="vhost" options=${session.vhosts} chosen=${vhost} onChange=${(event) => setVhost(event.currentTarget.value)} />
          <${Field} label="Kind" name="kind" options=${[["queue", "Queue"], ["exchange", "Exchange"]]} chosen=${kind}
            onChange=${(event) => setKind(event.currentTarget.value)} />
          <${NameField} of=${kind === "queue" ? "queues" : "exchanges"} vhost=${vhost} label="Name" name="name" required />
        </div>
      <//>
    <//>`;
}

function Messages({ vhost, kind, name }) {
  const [paused, setPaused] = useState(false);
  const [shown, setShown] = useState([]);
  const [isOpen, setOpen] = useState(false);
  const [error, setError] = useState(null);
  const last = useRef(0);

  useEffect(() => {
    if (paused) return undefined;
    const tail = new Tail(vhost, kind, name);
    let over = false;
    let timer = 0;
    const read = async () => {
      try {
        if (!tail.queue) {
          await tail.open();
          if (over) return await tail.close();
          setOpen(true);
        }
        const messages = await tail.messages();
        if (over) return undefined;
        setError(null);
        const at = new Date();
        const numbered = messages.map((message) => ({ ...message, at, number: ++last.current }));
        if (numbered.length > 0) setShown((old) => [...numbered.reverse(), ...old].slice(0, MOST_SHOWN));
      } catch (problem) {
        if (over) return undefined;
        // The queue of the tail expires while the page is in the background. The next read declares a new queue.
        if (tail.queue && isGone(problem)) tail.queue = "";
        else setError(problem);
        if (!tail.queue && !isGone(problem)) return undefined;
      }
      timer = setTimeout(read, EVERY_MS);
      return undefined;
    };
    read();
    const leave = () => tail.leave();
    addEventListener("pagehide", leave);
    return () => {
      over = true;
      removeEventListener("pagehide", leave);
      clearTimeout(timer);
      setOpen(false);
      tail.close();
    };
  }, [vhost, kind, name, paused]);

  const title = exchangeName(name);
  const about = kind === "queue" ? toQueue(vhost, name) : toExchange(vhost, name);
  const state = error ? "" : paused ? "Paused" : !isOpen ? "Starting…" : shown.length > 0 ? "Live" : "Live: waiting for messages";
  return html`
    <${Heading} title=${title} kind=${`Live messages of the ${kind}`}>
      <span role="status" class="dim">${state}</span>
      <button type="button" onClick=${() => setPaused(!paused)}>${paused ? "Resume" : "Pause"}</button>
      <button type="button" onClick=${() => setShown([])}>Clear</button>
      <a href=${about}>Show the ${kind}</a>
    <//>
    <${Problem} error=${error} />
    <div class="messages live" role="log" aria-label="Live messages" aria-live="off">
      ${shown.map((message) => html`
        <${Message} key=${message.number} message=${message} title=${`${clock(message.at)} ${message.event === "publish" ? "published" : "delivered"}`}
          facts=${[
            message.queues && [message.event === "publish" ? "Routed to" : "Queue", message.queues.length > 0 ? html`<span class="mono">${message.queues.join(", ")}</span>` : "no queue"],
            message.by && ["Client", html`<span class="mono">${message.by}</span>`],
          ]} />`)}
    </div>
    ${shown.length === MOST_SHOWN && html`<p class="hint">The last ${plural(MOST_SHOWN, "message")} are shown.</p>`}`;
}

function clock(date) {
  const two = (it) => String(it).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
