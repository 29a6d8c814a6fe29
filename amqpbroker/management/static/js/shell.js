// The frame around every page: navigation, search, display settings, alarms and announcements.

import { html, theme, useState, useMemo, useEffect, useId, useRef } from "./view.js";
import { get, logOut } from "./api.js";
import { useLive, Refresh, INTERVALS } from "./live.js";
import { useRoute, to, toUser } from "./router.js";
import { Session, may, rememberedVhost, rememberVhost } from "./session.js";
import { AGES, Age, sampled } from "./chart.js";
import { Announcements } from "./announce.js";
import { Confirmations } from "./dialog.js";
import { Heading, Problem } from "./parts.js";
import { Icon } from "./icons.js";
import { Search, SearchButton } from "./search.js";
import { count } from "./format.js";
import { ADMIN, PLACES, shownPlaces } from "./places.js";
import { Overview } from "./pages/overview.js";
import { Connections, Connection } from "./pages/connections.js";
import { Channels, Channel } from "./pages/channels.js";
import { Exchanges } from "./pages/exchanges.js";
import { Exchange } from "./pages/exchange.js";
import { Queues } from "./pages/queues.js";
import { Queue } from "./pages/queue.js";
import { Batches } from "./pages/batches.js";
import { Jobs } from "./pages/jobs.js";
import { Users } from "./pages/users.js";
import { User } from "./pages/user.js";
import { Vhosts } from "./pages/vhosts.js";
import { Vhost } from "./pages/vhost.js";
import { Policies } from "./pages/policies.js";
import { Policy, OperatorPolicy } from "./pages/policy.js";
import { Limits } from "./pages/limits.js";
import { Live } from "./pages/live.js";
import { Testing } from "./pages/testing.js";
import { Shovels } from "./pages/shovels.js";
import { Definitions } from "./pages/definitions.js";

/** The pages by the first part of the address: [page of the list, page of one object]. */
const PAGES = {
  "": [Overview],
  connections: [Connections, Connection],
  channels: [Channels, Channel],
  exchanges: [Exchanges, Exchange],
  queues: [Queues, Queue],
  users: [Users, User],
  vhosts: [Vhosts, Vhost],
  policies: [Policies, Policy],
  "operator-policies": [Policies, OperatorPolicy],
  live: [Live, Live],
  testing: [Testing],
  limits: [Limits],
  shovels: [Shovels],
  batches: [Batches],
  jobs: [Jobs],
  definitions: [Definitions],
};

export function Shell({ who, onLogOut }) {
  const [interval_ms, setInterval_ms] = useState(5000);
  const [age, setAge] = useState(AGES[1]);
  const [vhost, setVhost] = useState(rememberedVhost);
  const refresh = useMemo(() => ({ interval_ms }), [interval_ms]);
  return html`
    <${Refresh.Provider} value=${refresh}>
      <${Age.Provider} value=${age}>
        <${Frame} who=${who} onLogOut=${onLogOut} age=${age} setAge=${setAge} setInterval_ms=${setInterval_ms} vhost=${vhost}
          setVhost=${(name) => {
            rememberVhost(name);
            setVhost(name);
          }} />
      <//>
    <//>`;
}

function Frame({ who, onLogOut, age, setAge, setInterval_ms, vhost, setVhost }) {
  const route = useRoute();
  const rights = may(who);
  const query = new URLSearchParams(sampled(age));
  const overview = useLive(`overview ${age[0]}`, (signal) => get(`overview?${query}`, signal), { keep: true });
  const nodes = useLive("nodes", (signal) => (rights.monitor ? get("nodes", signal) : Promise.resolve([])));
  const vhosts = useLive("vhosts", async (signal) => (await get("vhosts?columns=name", signal)).map((it) => it.name).sort());
  const names = vhosts.data ?? [];
  // The selected vhost may have been deleted.
  useEffect(() => {
    if (vhost && vhosts.data && !vhosts.data.includes(vhost)) setVhost("");
  }, [vhost, vhosts.data]);
  const session = {
    who, rights, vhost, setVhost, vhosts: names, reloadVhosts: vhosts.reload, overview: overview.data, nodes: nodes.data ?? [], age, setAge,
    oldest_s: Math.max(...(overview.data?.sample_retention_policies?.global ?? [600])),
  };
  const leave = async () => {
    await logOut();
    onLogOut();
  };
  const place = route.parts.join("/");
  // A narrow screen shows the navigation and the settings only after a click on the menu button.
  const [menuOpen, setMenuOpen] = useState(false);
  const [searching, setSearching] = useState(false);
  useEffect(() => setMenuOpen(false), [place]);
  return html`
    <${Session.Provider} value=${session}>
      <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
      <div class=${menuOpen ? "frame menu-open" : "frame"} onKeyDown=${(event) => event.key === "Escape" && setMenuOpen(false)}>
        <${Side} route=${route} rights=${rights} overview=${overview.data}>
          <${Menu} open=${menuOpen} setOpen=${setMenuOpen} />
        <//>
        <div class="body">
          <${Top} who=${who} vhost=${vhost} vhosts=${names} setVhost=${setVhost} setInterval_ms=${setInterval_ms} leave=${leave}
            onSearch=${() => setSearching(true)} />
          <p class="lost" role="status">${overview.error?.status === 0 ? "The broker cannot be reached. Trying again." : ""}</p>
          <${Alarms} nodes=${nodes.data ?? []} />
          <main id="main" tabindex="-1"><${Page} key=${route.parts.join(" ")} route=${route} /></main>
        </div>
      </div>
      <${Search} open=${searching} setOpen=${setSearching} />
      <${Announcements} />
      <${Confirmations} />
    <//>`;
}

function skip(event) {
  // The hash holds the address of the page, so the link must not change it.
  event.preventDefault();
  document.getElementById("main").focus();
}

function Page({ route }) {
  const [section = "", ...rest] = route.parts;
  const [List, One] = PAGES[section] ?? [];
  if (rest.length > 0 && One) return html`<${One} names=${rest} query=${route.query} />`;
  if (rest.length === 0 && List) return html`<${List} parts=${route.parts} query=${route.query} />`;
  return html`<${Heading} title="Nothing here" /><p>This page does not exist. <a href="#/">Go to the overview</a>.</p>`;
}

/** The navigation. children: elements beside the name of the broker. */
function Side({ route, rights, overview, children }) {
  const totals = overview?.object_totals ?? {};
  const here = route.parts[0] === "operator-policies" ? "policies" : route.parts[0] ?? "";
  const link = ([name, text]) => html`
    <li key=${name}>
      <a href=${name ? to([name]) : "#/"} aria-current=${here === name ? "page" : null}>
        <${Icon} name=${name || "overview"} /><span class="nav-text">${text}</span>
        ${totals[name] !== undefined && html`<span class="nav-count">${count(totals[name])}</span>`}
      </a>
    </li>`;
  const admin = shownPlaces(ADMIN, rights, overview);
  const places = shownPlaces(PLACES, rights, overview);
  return html`
    <nav class="side" aria-label="Main">
      <div class="side-head">
        <p class="brand"><a href="#/"><${Icon} name="brand" /><span class="nav-text">amqpbroker</span></a></p>
        ${children}
      </div>
      <div id="menu" class="links collapsible">
        <ul>${places.map(link)}</ul>
        ${admin.length > 0 && html`<p class="nav-group" id="nav-admin">Admin</p><ul aria-labelledby="nav-admin">${admin.map(link)}</ul>`}
        ${overview && html`<p class="version">amqpbroker ${overview.amqpbroker?.version} <span>Compatible with <span class="unbroken">RabbitMQ ${overview.rabbitmq_version}</span></span></p>`}
      </div>
    </nav>`;
}

/** The button that opens the navigation on a narrow screen. */
function Menu({ open, setOpen }) {
  const button = useRef(null);
  const before = useRef(open);
  useEffect(() => {
    // Escape closes the menu while the focus is in it, so the focus returns to the button. A link in the menu moves the focus
    // to the page's heading instead.
    if (before.current && !open && !document.activeElement?.matches("h1")) button.current.focus();
    before.current = open;
  }, [open]);
  return html`
    <button type="button" class="menu-button" ref=${button} aria-expanded=${open} aria-controls="menu" onClick=${() => setOpen(!open)}>
      <${Icon} name=${open ? "close" : "menu"} />Menu
    </button>`;
}

const THEMES = [["system", "as the system"], ["light", "light"], ["dark", "dark"]];

function Top({ who, vhost, vhosts, setVhost, setInterval_ms, leave, onSearch }) {
  const id = useId();
  return html`
    <header class="top">
      <div class="top-field collapsible">
        <label for=${`${id}v`}>Virtual host</label>
        <select id=${`${id}v`} onChange=${(event) => setVhost(event.currentTarget.value)}>
          <option value="" selected=${vhost === ""}>All</option>
          ${vhosts.map((name) => html`<option value=${name} key=${name} selected=${name === vhost}>${name}</option>`)}
        </select>
      </div>
      <div class="top-field collapsible">
        <label for=${`${id}r`}>Refresh</label>
        <select id=${`${id}r`} onChange=${(event) => setInterval_ms(Number(event.currentTarget.value))}>
          ${INTERVALS.map(([ms, text]) => html`<option value=${ms} key=${ms} selected=${ms === 5000}>${text}</option>`)}
        </select>
      </div>
      <div class="top-field collapsible">
        <label for=${`${id}t`}>Theme</label>
        <select id=${`${id}t`} onChange=${(event) => theme.choose(event.currentTarget.value)}>
          ${THEMES.map(([name, text]) => html`<option value=${name} key=${name} selected=${name === theme.chosen()}>${text}</option>`)}
        </select>
      </div>
      <${SearchButton} onClick=${onSearch} />
      <div class="top-user collapsible">
        <a href=${toUser(who.name)}>${who.name}</a>
        <button type="button" class="quiet" onClick=${leave}>Log out</button>
      </div>
    </header>`;
}

/** The alarms of the broker, which every page shows. */
function Alarms({ nodes }) {
  const alarms = nodes.flatMap((node) => [
    node.mem_alarm && `Memory alarm on ${node.name}: publishers wait until less memory is used.`,
    node.disk_free_alarm && `Disk alarm on ${node.name}: publishers wait until more disk space is free.`,
  ]).filter(Boolean);
  return html`<div role="alert">${alarms.map((text) => html`<p class="alarm" key=${text}>${text}</p>`)}</div>`;
}
