// The frame around every page: navigation, what is looked at and how often, alarms, and what was just done.

import { html, useState, useMemo, useEffect, useId } from "./view.js";
import { get, logOut } from "./api.js";
import { useLive, Refresh, INTERVALS } from "./live.js";
import { useRoute, to, toUser } from "./router.js";
import { Session, may, rememberedVhost, rememberVhost } from "./session.js";
import { AGES, Age, sampled } from "./chart.js";
import { Announcements } from "./announce.js";
import { Confirmations } from "./dialog.js";
import { Heading, Problem } from "./parts.js";
import { Icon } from "./icons.js";
import { count } from "./format.js";
import { Overview } from "./pages/overview.js";
import { Connections, Connection } from "./pages/connections.js";
import { Channels, Channel } from "./pages/channels.js";
import { Exchanges } from "./pages/exchanges.js";
import { Exchange } from "./pages/exchange.js";
import { Queues } from "./pages/queues.js";
import { Queue } from "./pages/queue.js";
import { Users } from "./pages/users.js";
import { User } from "./pages/user.js";
import { Vhosts } from "./pages/vhosts.js";
import { Vhost } from "./pages/vhost.js";
import { Policies } from "./pages/policies.js";
import { Limits } from "./pages/limits.js";
import { Shovels } from "./pages/shovels.js";
import { Definitions } from "./pages/definitions.js";

/** name: [list, one of the list]. */
const PAGES = {
  "": [Overview],
  connections: [Connections, Connection],
  channels: [Channels, Channel],
  exchanges: [Exchanges, Exchange],
  queues: [Queues, Queue],
  users: [Users, User],
  vhosts: [Vhosts, Vhost],
  policies: [Policies],
  limits: [Limits],
  shovels: [Shovels],
  definitions: [Definitions],
};

const PLACES = [
  ["", "Overview"], ["connections", "Connections"], ["channels", "Channels"], ["exchanges", "Exchanges"], ["queues", "Queues"],
];
const ADMIN = [
  ["users", "Users", "administer"], ["vhosts", "Virtual hosts", "administer"], ["policies", "Policies", "makePolicies"],
  ["limits", "Limits", "administer"], ["shovels", "Shovels", "administer"], ["definitions", "Definitions", "administer"],
];

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
  // A vhost that was looked at and is gone.
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
  return html`
    <${Session.Provider} value=${session}>
      <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
      <div class="frame">
        <${Side} route=${route} rights=${rights} overview=${overview.data} />
        <div class="body">
          <${Top} who=${who} vhost=${vhost} vhosts=${names} setVhost=${setVhost} setInterval_ms=${setInterval_ms} leave=${leave}
            lost=${overview.error?.status === 0} />
          <${Alarms} nodes=${nodes.data ?? []} />
          <main id="main" tabindex="-1"><${Page} key=${route.parts.join(" ")} route=${route} /></main>
        </div>
      </div>
      <${Announcements} />
      <${Confirmations} />
    <//>`;
}

function skip(event) {
  // The hash is the address of a page here.
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

function Side({ route, rights, overview }) {
  const totals = overview?.object_totals ?? {};
  const here = route.parts[0] ?? "";
  const link = ([name, text]) => html`
    <li key=${name}>
      <a href=${name ? to([name]) : "#/"} aria-current=${here === name ? "page" : null}>
        <${Icon} name=${name || "overview"} /><span class="nav-text">${text}</span>
        ${totals[name] !== undefined && html`<span class="nav-count">${count(totals[name])}</span>`}
      </a>
    </li>`;
  const admin = ADMIN.filter(([, , right]) => rights[right]);
  return html`
    <nav class="side" aria-label="Main">
      <p class="brand"><a href="#/"><${Icon} name="brand" /><span class="nav-text">amqpbroker</span></a></p>
      <ul>${PLACES.map(link)}</ul>
      ${admin.length > 0 && html`<p class="nav-group" id="nav-admin">Admin</p><ul aria-labelledby="nav-admin">${admin.map(link)}</ul>`}
      <p class="version">${overview && `Compatible with RabbitMQ ${overview.rabbitmq_version}`}</p>
    </nav>`;
}

function Top({ who, vhost, vhosts, setVhost, setInterval_ms, leave, lost }) {
  const id = useId();
  return html`
    <header class="top">
      <div class="top-field">
        <label for=${`${id}v`}>Virtual host</label>
        <select id=${`${id}v`} onChange=${(event) => setVhost(event.currentTarget.value)}>
          <option value="" selected=${vhost === ""}>All</option>
          ${vhosts.map((name) => html`<option value=${name} key=${name} selected=${name === vhost}>${name}</option>`)}
        </select>
      </div>
      <div class="top-field">
        <label for=${`${id}r`}>Refresh</label>
        <select id=${`${id}r`} onChange=${(event) => setInterval_ms(Number(event.currentTarget.value))}>
          ${INTERVALS.map(([ms, text]) => html`<option value=${ms} key=${ms} selected=${ms === 5000}>${text}</option>`)}
        </select>
      </div>
      <p class="lost" role="status">${lost ? "The broker cannot be reached. Trying again." : ""}</p>
      <div class="top-user">
        <a href=${toUser(who.name)}>${who.name}</a>
        <button type="button" class="quiet" onClick=${leave}>Log out</button>
      </div>
    </header>`;
}

/** What the broker is short of, on every page. */
function Alarms({ nodes }) {
  const alarms = nodes.flatMap((node) => [
    node.mem_alarm && `Memory alarm on ${node.name}: publishers wait until less memory is used.`,
    node.disk_free_alarm && `Disk alarm on ${node.name}: publishers wait until more disk space is free.`,
  ]).filter(Boolean);
  return html`<div role="alert">${alarms.map((text) => html`<p class="alarm" key=${text}>${text}</p>`)}</div>`;
}
