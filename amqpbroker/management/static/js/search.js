// The search dialog, which finds pages and all objects that the pages list. Ctrl-K opens it.

import { html, useEffect, useId, useRef, useState } from "./view.js";
import { get, path } from "./api.js";
import { Dialog } from "./dialog.js";
import { exchangeName } from "./format.js";
import { Icon } from "./icons.js";
import { ADMIN, PLACES, shownPlaces } from "./places.js";
import { go, to, toChannel, toConnection, toExchange, toOperatorPolicy, toPolicy, toQueue, toShovel, toUser, toVhost } from "./router.js";
import { useSession } from "./session.js";

const MOST_OF_A_KIND = 8;
const SEARCH_AFTER_MS = 150;
// The server searches only the names of connections and channels. The client's own name for a connection is searched here, in
// at most this number of connections or channels.
const MOST_SEARCHED_HERE = 500;

/** The search dialog and its key, Ctrl-K. */
export function Search({ open, setOpen }) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      if (!document.querySelector("dialog[open]")) setOpen(true);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  return open && html`<${SearchDialog} onClose=${() => setOpen(false)} />`;
}

export function SearchButton({ onClick }) {
  return html`
    <button type="button" class="search-button" aria-keyshortcuts="Control+K" onClick=${onClick}>
      <${Icon} name="search" />Search<kbd aria-hidden="true">Ctrl K</kbd>
    </button>`;
}

function SearchDialog({ onClose }) {
  const session = useSession();
  const [text, setText] = useState("");
  const [found, setFound] = useState([]);
  const [at, setAt] = useState(0);
  const [failed, setFailed] = useState("");
  const list = useRef(null);
  const id = useId();

  useEffect(() => {
    const controller = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const results = await search(text.trim(), session, controller.signal);
        if (controller.signal.aborted) return;
        setFound(results);
        setAt(0);
        setFailed("");
      } catch (error) {
        if (!controller.signal.aborted) setFailed(error.message);
      }
    }, text ? SEARCH_AFTER_MS : 0);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [text]);
  useEffect(() => list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [at, found]);

  const choose = (result) => {
    onClose();
    go(result.address);
  };
  const keys = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length > 0) {
      event.preventDefault();
      setAt((at + step + found.length) % found.length);
    } else if (event.key === "Enter" && found[at]) {
      event.preventDefault();
      choose(found[at]);
    }
  };
  const option = (index) => `${id}-${index}`;
  return html`
    <${Dialog} title="Search" onClose=${onClose} wide>
      <input class="search-input" type="text" role="combobox" aria-label="Search for a page or for an object by its name"
        aria-expanded="true" aria-controls=${`${id}-list`} aria-autocomplete="list" aria-activedescendant=${found[at] ? option(at) : null}
        placeholder="Name of a queue, exchange, connection, policy, user, page…" autocomplete="off" spellcheck=${false} autofocus
        value=${text} onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${keys} />
      ${failed && html`<p class="problem" role="alert">${failed}</p>`}
      <ul class="results" id=${`${id}-list`} role="listbox" aria-label="Results" ref=${list}>
        ${found.map((result, index) => html`
          <li key=${result.address} id=${option(index)} role="option" aria-selected=${index === at} onClick=${() => choose(result)}
            onMouseMove=${() => index !== at && setAt(index)}>
            <span class="result-kind">${result.kind}</span>
            <span class="mono result-name">${result.name}</span>
            ${result.note && html`<span class="dim">${result.note}</span>`}
          </li>`)}
      </ul>
      <p class="dim" role="status">${found.length === 0 && text.trim() ? `Nothing is called “${text.trim()}”.` : ""}</p>
    <//>`;
}

/** Returns [{kind, name, note, address}]: pages first, then the objects of each kind. Names that begin with the text come first. */
async function search(text, session, signal) {
  const wanted = text.toLowerCase();
  const pages = shownPlaces([...PLACES, ...ADMIN], session.rights, session.overview)
    .filter(([, title]) => title.toLowerCase().includes(wanted))
    .map(([name, title]) => ({ kind: "Page", name: title, address: name ? to([name]) : "#/" }));
  if (text === "") return pages;
  const vhosts = session.vhosts.filter((name) => name.toLowerCase().includes(wanted))
    .map((name) => ({ kind: "Virtual host", name, address: toVhost(name) }));
  const kinds = await Promise.all([
    named("queues", text, session, signal).then((rows) => rows.map((it) => ({ kind: "Queue", name: it.name, note: it.vhost, address: toQueue(it.vhost, it.name) }))),
    named("exchanges", text, session, signal).then((rows) => rows.map((it) => ({ kind: "Exchange", name: exchangeName(it.name), note: it.vhost, address: toExchange(it.vhost, it.name) }))),
    connections(wanted, session, signal),
    channels(wanted, session, signal),
    session.rights.makePolicies && listed("policies", wanted, session, signal).then((rows) => rows.map((it) => ({ kind: "Policy", name: it.name, note: it.vhost, address: toPolicy(it.vhost, it.name) }))),
    session.rights.administer && listed("operator-policies", wanted, session, signal).then((rows) => rows.map((it) => ({ kind: "Operator policy", name: it.name, note: it.vhost, address: toOperatorPolicy(it.vhost, it.name) }))),
    session.rights.administer && listed("shovels", wanted, session, signal).then((rows) => rows.map((it) => ({ kind: "Shovel", name: it.name, note: it.vhost, address: toShovel(it.vhost, it.name) }))),
    users(wanted, session, signal),
  ]);
  return [...pages, ...kinds.filter(Boolean).flat(), ...(session.rights.administer ? vhosts.slice(0, MOST_OF_A_KIND) : [])];
}

async function named(kind, text, { vhost }, signal) {
  const query = new URLSearchParams({ page: 1, page_size: 100, name: text, use_regex: false, pagination: true, columns: "name,vhost" });
  const answer = await get(`${vhost ? path(kind, vhost) : kind}?${query}`, signal);
  return best(answer.items.filter((it) => it.name !== ""), (it) => it.name, text);
}

async function connections(wanted, session, signal) {
  const query = new URLSearchParams({ page: 1, page_size: MOST_SEARCHED_HERE, pagination: true, columns: "name,user_provided_name,user,vhost" });
  const { items } = await get(`connections?${query}`, signal).catch(() => ({ items: [] }));
  const found = items.filter((it) => `${it.user_provided_name ?? ""} ${it.name}`.toLowerCase().includes(wanted));
  return best(found, (it) => it.user_provided_name ?? it.name, wanted).map((it) => ({
    kind: "Connection", name: it.user_provided_name ?? it.name, note: it.user_provided_name ? it.name : it.user, address: toConnection(it.name),
  }));
}

async function channels(wanted, { vhost }, signal) {
  const query = new URLSearchParams({ page: 1, page_size: MOST_SEARCHED_HERE, pagination: true, columns: "name,number,user,connection_details" });
  // The list of one vhost is not paged.
  const answer = await get(`${vhost ? path("vhosts", vhost, "channels") : "channels"}?${query}`, signal).catch(() => []);
  const clientOf = (it) => it.connection_details?.user_provided_name ?? "";
  const found = (answer.items ?? answer).filter((it) => `${clientOf(it)} ${it.name}`.toLowerCase().includes(wanted));
  return best(found, (it) => clientOf(it) || it.name, wanted).map((it) => ({
    kind: "Channel", name: clientOf(it) ? `${clientOf(it)} (${it.number})` : it.name, note: clientOf(it) ? it.name : it.user, address: toChannel(it.name),
  }));
}

/** Searches a list that the server does not page. A broker that has no such list, as RabbitMQ without its plugin, has no results. */
async function listed(kind, wanted, { vhost }, signal) {
  const rows = await get(`${vhost ? path(kind, vhost) : kind}?columns=name,vhost`, signal).catch(() => []);
  return best(rows.filter((it) => it.name.toLowerCase().includes(wanted)), (it) => it.name, wanted);
}

async function users(wanted, { rights }, signal) {
  if (!rights.administer) return [];
  const rows = (await get("users?columns=name", signal)).filter((it) => it.name.toLowerCase().includes(wanted));
  return best(rows, (it) => it.name, wanted).map((it) => ({ kind: "User", name: it.name, address: toUser(it.name) }));
}

function best(rows, nameOf, text) {
  const begins = (it) => (nameOf(it).toLowerCase().startsWith(text.toLowerCase()) ? 0 : 1);
  return [...rows].sort((a, b) => begins(a) - begins(b)).slice(0, MOST_OF_A_KIND);
}
