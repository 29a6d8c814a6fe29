// Small components that several pages use.

import { html, useEffect, useId, useRef } from "./view.js";
import { value } from "./format.js";

/** The page's heading. It gets the focus when the page opens, so that screen readers read it. */
export function Heading({ title, kind, children, badges }) {
  const element = useRef(null);
  useEffect(() => {
    document.title = `${kind ? `${kind} ` : ""}${title} · amqpbroker`;
    element.current.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [title, kind]);
  return html`
    <header class="page-head">
      <div>
        ${kind && html`<p class="kind">${kind}</p>`}
        <h1 ref=${element} tabindex="-1" class=${kind ? "mono" : ""}>${title}</h1>
        ${badges && html`<p class="badges">${badges}</p>`}
      </div>
      <div class="page-actions">${children}</div>
    </header>`;
}

export function Card({ title, children, class: kind = "", actions }) {
  const id = useId();
  return html`
    <section class=${`card ${kind}`} aria-labelledby=${id}>
      <header class="card-head"><h2 id=${id}>${title}</h2>${actions}</header>
      ${children}
    </section>`;
}

/** An error of the API outside a form. */
export function Problem({ error }) {
  return error && html`<p class="problem" role="alert">${error.message}</p>`;
}

/** A row of large numbers. tiles: [[label, value, note]]. */
export function Tiles({ tiles }) {
  return html`
    <dl class="tiles">
      ${tiles.filter(Boolean).map(([label, number, note]) => html`
        <div class="tile" key=${label}><dt>${label}</dt><dd>${number}${note && html`<small>${note}</small>`}</dd></div>`)}
    </dl>`;
}

/** A list of labelled facts. rows: [[label, content]]. Rows without content are omitted. */
export function Facts({ rows }) {
  const given = rows.filter((row) => row && row[1] !== undefined && row[1] !== null && row[1] !== "");
  return html`<dl class="facts">${given.map(([label, content]) => html`
    <div key=${label}><dt>${label}</dt><dd>${content}</dd></div>`)}</dl>`;
}

/** A link to a connection or a channel, and below it the client's own name for its connection. */
export function Named({ name, address, client }) {
  return html`<a class="mono" href=${address}>${name}</a>${client && html`<small>${client}</small>`}`;
}

/** A table of arguments or properties. */
export function Values({ table }) {
  const entries = Object.entries(table ?? {});
  if (entries.length === 0) return null;
  return html`<ul class="values">${entries.map(([key, it]) => html`<li key=${key}><span class="key">${key}</span> <span class="mono">${value(it)}</span></li>`)}</ul>`;
}

export function Badge({ text, title, kind = "" }) {
  return html`<span class=${`badge ${kind}`} title=${title}>${text}</span>`;
}

/** A bar that shows the used share of a limit, of which little may be left, or with `good` a progress. */
export function Meter({ label, value: now, max, text, bad, good }) {
  const share = max > 0 ? Math.min(1, now / max) : 0;
  return html`
    <div class="meter-row">
      <span class="meter-label">${label}</span>
      <span class=${`meter ${bad ? "bad" : share > 0.8 && !good ? "warn" : ""}`} role="meter" aria-label=${label} aria-valuemin="0"
        aria-valuemax="100" aria-valuenow=${Math.round(share * 100)} aria-valuetext=${text}><span style=${{ width: `${share * 100}%` }}></span></span>
      <span class="meter-text">${text}</span>
    </div>`;
}
