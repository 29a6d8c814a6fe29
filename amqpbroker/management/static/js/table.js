// Sortable tables, and lists that the server filters, sorts and pages.

import { html, useState, useEffect, useRef, useId } from "./view.js";
import { useLive } from "./live.js";
import { get } from "./api.js";
import { count, plural } from "./format.js";
import { replaceQuery } from "./router.js";
import { Problem } from "./parts.js";

/**
 * columns: [{id, title, cell(row), num, sort, note}]. `sort` is the field that the server sorts by.
 * `order` is {by, reverse}. With `onOrder(by, reverse)`, the titles of columns are buttons that sort.
 * `isMarked(row)` is true for a row to highlight and to scroll to.
 */
export function Table({ caption, columns, rows, rowKey, empty, order, onOrder, busy, isMarked = () => false }) {
  const body = useRef(null);
  const marked = rows.findIndex(isMarked);
  useEffect(() => body.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" }), [marked]);
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
  // A narrow screen shows each row as a card, which removes the elements' implicit roles. The explicit roles keep them.
  return html`
    <div class="table-box" role="group" aria-label=${caption} tabindex="0" aria-busy=${busy ? "true" : null}>
      <table role="table">
        <caption class="visually-hidden">${caption}</caption>
        <thead role="rowgroup">
          <tr role="row">${columns.map((column) => html`<${Head} key=${column.id} column=${column} order=${order} onOrder=${onOrder} />`)}</tr>
        </thead>
        <tbody role="rowgroup" ref=${body}>
          ${rows.map((row, index) => html`
            <tr role="row" key=${rowKey ? rowKey(row) : index} aria-current=${index === marked ? "true" : null}>
              ${columns.map((column, place) => {
                const kind = column.num ? "num" : column.class ?? "";
                const shown = column.cell(row);
                return place === 0
                  ? html`<th scope="row" role="rowheader" class=${kind} key=${column.id}>${shown}</th>`
                  : html`<td role="cell" class=${kind} data-label=${column.title} key=${column.id}>${shown}</td>`;
              })}
            </tr>`)}
        </tbody>
      </table>
    </div>`;
}

function Head({ column, order, onOrder }) {
  const kind = column.num ? "num" : "";
  if (!column.title) return html`<th scope="col" role="columnheader" class=${`${kind} unsorted`}><span class="visually-hidden">${column.label ?? "Actions"}</span></th>`;
  if (!onOrder || !column.sort) return html`<th scope="col" role="columnheader" class=${`${kind} unsorted`} title=${column.note}>${column.title}</th>`;
  const sorted = order.by === column.sort;
  const direction = sorted ? (order.reverse ? "descending" : "ascending") : "none";
  // The first click on a column of numbers sorts from the largest down.
  const next = sorted ? !order.reverse : Boolean(column.num);
  return html`
    <th scope="col" role="columnheader" class=${kind} aria-sort=${direction}>
      <button type="button" class="sort" title=${column.note} onClick=${() => onOrder(column.sort, next)}>
        ${column.title}${sorted && html`<span class="arrow" aria-hidden="true">${order.reverse ? "▼" : "▲"}</span>`}
      </button>
    </th>`;
}

const FILTER_AFTER_MS = 250;
const PAGE_SIZES = [50, 100, 250, 500];

/**
 * A list of the API; `where` is its path. The address (`parts`, `query`) holds the page, the filter and the order.
 * `children` are elements to the right of the filter.
 */
export function Listing({ where, parts, query, columns, rowKey, one, many, none, sort, version, params = {}, children }) {
  const page = Number(query.page) || 1;
  const size = Number(query.size) || 100;
  const order = { by: query.sort || sort, reverse: query.reverse === "true" };
  const search = new URLSearchParams({
    page, page_size: size, name: query.name ?? "", use_regex: query.regex === "true", pagination: true, sort: order.by,
    sort_reverse: order.reverse, ...params,
  });
  const address = `${where}?${search}`;
  const load = async (signal) => {
    const answer = await get(address, signal);
    return Array.isArray(answer) ? inPages(answer, query, order, page, size) : answer;
  };
  const { data, error, loading, reload } = useLive(address, load, { keep: true });
  useEffect(() => {
    if (version) reload();
  }, [version]);
  const change = (changes) => replaceQuery(parts, { ...query, page: "", ...changes });

  // The server refuses a page that no longer exists, after a filter or a deletion: go to the first page.
  useEffect(() => {
    if (page > 1 && (error?.status === 400 || (data && !loading && page > Math.max(1, data.page_count)))) change({});
  }, [error, data, page, loading]);

  return html`
    <div class="toolbar">
      <${Filter} value=${query.name ?? ""} regex=${query.regex === "true"} many=${many} onChange=${change} />
      <p class="shown" aria-live="polite">${data && shownOf(data, one, many.toLowerCase())}</p>
      <div class="toolbar-end">${children}</div>
    </div>
    <${Problem} error=${error} />
    ${data && html`
      <${Table} caption=${many} columns=${columns} rows=${data.items} rowKey=${rowKey} busy=${loading} order=${order}
        onOrder=${(by, reverse) => change({ sort: by, reverse: reverse ? "true" : "" })}
        empty=${data.total_count ? `No ${one} matches the filter.` : none} />
      <${Pages} page=${page} pages=${data.page_count} size=${size} total=${data.filtered_count} onChange=${change} />`}
    ${!data && !error && html`<p class="empty">Loading…</p>`}`;
}

/** Pages a list as the server does. The server does not page the connections and channels of a vhost. */
function inPages(rows, query, order, page, size) {
  const name = query.name ?? "";
  const wanted = query.regex === "true" ? new RegExp(name) : { test: (text) => text.toLowerCase().includes(name.toLowerCase()) };
  const found = inOrder(rows.filter((row) => wanted.test(row.name)), order);
  return {
    items: found.slice((page - 1) * size, page * size), filtered_count: found.length, total_count: rows.length,
    page_count: Math.ceil(found.length / size),
  };
}

function shownOf(data, one, many) {
  if (data.filtered_count === data.total_count) return plural(data.total_count, one, many);
  return `${count(data.filtered_count)} of ${plural(data.total_count, one, many)}`;
}

function Filter({ value, regex, many, onChange }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  const id = useId();
  useEffect(() => setText(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (event) => {
    const name = event.currentTarget.value;
    setText(name);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange({ name }), FILTER_AFTER_MS);
  };
  return html`
    <div class="filter" role="search" aria-label=${`Filter ${many.toLowerCase()}`}>
      <label for=${id} class="visually-hidden">Filter by name</label>
      <input id=${id} type="search" placeholder="Filter by name" value=${text} onInput=${type} autocomplete="off" spellcheck=${false} />
      <label class="inline"><input type="checkbox" checked=${regex}
        onChange=${(event) => onChange({ regex: event.currentTarget.checked ? "true" : "" })} /> Regex</label>
    </div>`;
}

function Pages({ page, pages, size, total, onChange }) {
  const id = useId();
  if (total <= PAGE_SIZES[0]) return null;
  const turn = (to) => onChange({ page: to > 1 ? to : "" });
  return html`
    <nav class="pages" aria-label="Pages">
      <button type="button" disabled=${page <= 1} onClick=${() => turn(1)}>First</button>
      <button type="button" disabled=${page <= 1} onClick=${() => turn(page - 1)}>Previous</button>
      <span>Page ${count(page)} of ${count(pages)}</span>
      <button type="button" disabled=${page >= pages} onClick=${() => turn(page + 1)}>Next</button>
      <button type="button" disabled=${page >= pages} onClick=${() => turn(pages)}>Last</button>
      <label for=${id}>Rows</label>
      <select id=${id} onChange=${(event) => onChange({ size: event.currentTarget.value })}>
        ${PAGE_SIZES.map((it) => html`<option value=${it} key=${it} selected=${it === size}>${it}</option>`)}
      </select>
    </nav>`;
}

/** Sorts the rows of a list that the server does not page. Returns [rows, order, onOrder]. */
export function useOrder(rows, by, reverse = false) {
  const [order, setOrder] = useState({ by, reverse });
  return [inOrder(rows, order), order, (nextBy, nextReverse) => setOrder({ by: nextBy, reverse: nextReverse })];
}

function inOrder(rows, { by, reverse }) {
  const sorted = [...rows].sort((a, b) => compare(at(a, by), at(b, by)));
  return reverse ? sorted.reverse() : sorted;
}

function at(row, key) {
  return key.split(".").reduce((it, part) => it?.[part], row);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a ?? "").localeCompare(String(b ?? ""));
}
