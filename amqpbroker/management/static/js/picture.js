// The picture of bindings: exchanges and queues in columns, with lines between them. Every box is a link.

import { html, useState } from "./view.js";
import { exchangeName, plural } from "./format.js";
import { toExchange, toQueue } from "./router.js";

const BOX = { width: 190, height: 34, gap: 16 };
const BETWEEN = 190;
const MARGIN = 8;
const MOST = 30;
const LONGEST_NAME = 24;
const LONGEST_KEY = 24;
// Distances of a label's baseline from its line.
const ABOVE = 6;
const BELOW = 16;

function node(kind, vhost, name) {
  return {
    id: `${kind} ${name}`,
    kind,
    name: kind === "exchange" ? exchangeName(name) : name,
    href: kind === "exchange" ? toExchange(vhost, name) : toQueue(vhost, name),
  };
}

const sourceOf = (binding) => node("exchange", binding.vhost, binding.source);
const destinationOf = (binding) => node(binding.destination_type, binding.vhost, binding.destination);

/**
 * kind: "exchange" or "queue", the kind of the object in the middle. incoming: bindings to the object. before: bindings to
 * the sources of these bindings. outgoing: bindings from the object.
 */
export function BindingsPicture({ kind, vhost, name, before = [], incoming, outgoing = [] }) {
  const [all, setAll] = useState(false);
  const bindings = [...before, ...incoming, ...outgoing];
  if (bindings.length === 0) return html`<p class="empty">No bindings.</p>`;
  const middle = { ...node(kind, vhost, name), self: true };
  const columns = [...sources(middle, [...incoming, ...before]), [middle], unique(outgoing.map(destinationOf))];
  const most = all ? Infinity : MOST;
  const left = columns.reduce((sum, column) => sum + Math.max(0, column.length - most), 0);
  const drawn = columns.map((column) => column.slice(0, most)).filter((column) => column.length > 0);
  return html`
    <div class="picture-box" role="group" tabindex="0" aria-label="Picture of the bindings">
      ${draw(drawn, edges(bindings))}
    </div>
    ${left > 0 && html`<p><button type="button" class="quiet" onClick=${() => setAll(true)}>Draw ${plural(left, "more", "more")}</button></p>`}`;
}

/** Returns two columns of exchanges left of the middle. A source stands left of its destination. */
function sources(middle, bindings) {
  const depths = new Map([[middle.id, 0]]);
  for (let round = 0; round < 2; round += 1) {
    for (const binding of bindings) {
      const [from, to] = [sourceOf(binding).id, destinationOf(binding).id];
      if (from === middle.id || from === to || !depths.has(to)) continue;
      depths.set(from, Math.min(2, Math.max(depths.get(from) ?? 0, depths.get(to) + 1)));
    }
  }
  const nodes = unique(bindings.map(sourceOf));
  return [2, 1].map((depth) => nodes.filter((it) => depths.get(it.id) === depth));
}

function unique(nodes) {
  return [...new Map(nodes.map((it) => [it.id, it])).values()];
}

/** Returns the lines to draw. Bindings between the same two objects are one line with all their keys. */
function edges(bindings) {
  const found = new Map();
  for (const binding of bindings) {
    const [from, to] = [sourceOf(binding).id, destinationOf(binding).id];
    const edge = found.get(`${from} > ${to}`) ?? { from, to, keys: [] };
    const hasArguments = Object.keys(binding.arguments ?? {}).length > 0;
    edge.keys.push(binding.routing_key || (hasArguments ? "(arguments)" : ""));
    found.set(`${from} > ${to}`, edge);
  }
  return [...found.values()];
}

function draw(columns, lines) {
  columns = withWaysThrough(columns, lines);
  const tallest = Math.max(...columns.map((column) => column.length));
  const height = tallest * (BOX.height + BOX.gap) - BOX.gap + 2 * MARGIN;
  const width = columns.length * BOX.width + (columns.length - 1) * BETWEEN + 2 * MARGIN;
  const places = new Map();
  columns.forEach((column, x) => {
    const used = column.length * (BOX.height + BOX.gap) - BOX.gap;
    column.forEach((it, y) => {
      // An exchange that is bound to itself is drawn only once, in its own column.
      if (places.has(it.id)) return;
      places.set(it.id, { ...it, x: MARGIN + x * (BOX.width + BETWEEN), y: (height - used) / 2 + y * (BOX.height + BOX.gap) });
    });
  });
  const boxes = [...places.values()].filter((it) => !it.way);
  return html`
    <svg class="picture" viewBox=${`0 0 ${width} ${height}`} width=${width} height=${height}>
      <g aria-hidden="true">${lines.map((line) => drawLine(line, places))}${lines.map((line) => drawKeys(line, places))}</g>
      ${boxes.map((box) => html`
        <a href=${box.href} key=${box.id} class=${`node ${box.kind} ${box.self ? "self" : ""}`} aria-label=${`${box.kind} ${box.name}`}
          aria-current=${box.self ? "true" : null}>
          <title>${box.kind} ${box.name}</title>
          <rect x=${box.x} y=${box.y} width=${BOX.width} height=${BOX.height} rx=${box.kind === "exchange" ? BOX.height / 2 : 6} />
          <text x=${box.x + BOX.width / 2} y=${box.y + BOX.height / 2}>${cut(box.name, LONGEST_NAME)}</text>
        </a>`)}
    </svg>`;
}

const wayOf = (line) => `way ${line.from} > ${line.to}`;

/** Adds a free place to each column that a line passes, so that the line does not run through a box. */
function withWaysThrough(columns, lines) {
  const column = new Map(columns.flatMap((nodes, x) => nodes.map((it) => [it.id, x])));
  const wide = columns.map((nodes) => [...nodes]);
  for (const line of lines) {
    const [from, to] = [column.get(line.from), column.get(line.to)];
    if (to - from === 2) wide[from + 1].push({ id: wayOf(line), way: true });
  }
  return wide;
}

/** Returns the two ends of a line and the free place that it keeps between them, or null if an end is not drawn. */
function endsOf(line, places) {
  const [from, to] = [places.get(line.from), places.get(line.to)];
  if (!from || !to) return null;
  const [x1, y1] = [from.x + BOX.width, from.y + BOX.height / 2];
  const [x2, y2] = [to.x, to.y + BOX.height / 2];
  return { x1, y1, x2, y2, to, way: places.get(wayOf(line)) };
}

function drawLine(line, places) {
  const ends = endsOf(line, places);
  if (!ends) return null;
  const { x1, y1, x2, y2, to, way } = ends;
  const { curve, tip } = x1 < x2 ? forward(x1, y1, x2, y2, way) : back(x1, y1, to.x + BOX.width, y2);
  return html`
    <g class="line" key=${`${line.from} > ${line.to}`}>
      <path d=${curve} />
      <path class="tip" d=${tip} />
    </g>`;
}

/** The routing keys of a line. They are drawn after all lines, so that their background covers the lines that cross them. */
function drawKeys(line, places) {
  const ends = endsOf(line, places);
  const keys = line.keys.filter((key) => key !== "");
  if (!ends || keys.length === 0) return null;
  return html`
    <g class="keys" key=${`${line.from} > ${line.to}`}>
      <text ...${placeOfKeys(ends)}><title>${keys.join(", ")}</title>${label(keys)}</text>
    </g>`;
}

/**
 * Returns the position of a line's keys. Lines meet at the object in the middle, so the keys are at the line's other end. They
 * are above the line, or below it if the line rises from there.
 */
function placeOfKeys({ x1, y1, x2, y2, to, way }) {
  if (way) return { x: way.x + BOX.width / 2, y: way.y + BOX.height / 2 - ABOVE, "text-anchor": "middle" };
  const [from, until] = to.self ? [y1, y2] : [y2, y1];
  const y = from + (until < from && x1 < x2 ? BELOW : -ABOVE);
  return to.self ? { x: x1 + 12, y, "text-anchor": "start" } : { x: x2 - 14, y, "text-anchor": "end" };
}

function forward(x1, y1, x2, y2, way) {
  const tip = `M ${x2 - 7} ${y2 - 4} L ${x2} ${y2} L ${x2 - 7} ${y2 + 4} Z`;
  if (!way) return { curve: `M ${x1} ${y1} ${bent(x1, y1, x2 - 6, y2)}`, tip };
  const [from, until, y] = [way.x, way.x + BOX.width, way.y + BOX.height / 2];
  return { curve: `M ${x1} ${y1} ${bent(x1, y1, from, y)} L ${until} ${y} ${bent(until, y, x2 - 6, y2)}`, tip };
}

function bent(x1, y1, x2, y2) {
  const middle = (x1 + x2) / 2;
  return `C ${middle} ${y1}, ${middle} ${y2}, ${x2} ${y2}`;
}

/** Returns the curve of a binding to a box in the same column or further left: a loop between the right sides of the boxes. */
function back(x1, y1, x2, y2) {
  const turn = Math.max(x1, x2) + 70;
  return {
    curve: `M ${x1} ${y1 + 6} C ${turn} ${y1 + 6}, ${turn} ${y2 + 10}, ${x2 + 6} ${y2 + 10}`,
    tip: `M ${x2 + 7} ${y2 + 6} L ${x2} ${y2 + 10} L ${x2 + 7} ${y2 + 14} Z`,
  };
}

function label(keys) {
  const first = cut(keys[0], LONGEST_KEY);
  return keys.length > 1 ? `${first} +${keys.length - 1}` : first;
}

function cut(text, length) {
  const letters = [...text];
  return letters.length > length ? `${letters.slice(0, length - 1).join("")}…` : text;
}
