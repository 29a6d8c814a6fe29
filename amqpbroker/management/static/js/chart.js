// Live charts. uPlot draws them, and a legend shows the current values as text.

import { html, theme, useState, useEffect, useRef, useContext, createContext } from "./view.js";
import { Card } from "./parts.js";
import { byteRate, count, rate, short } from "./format.js";

const uPlot = globalThis.uPlot;
const HEIGHT_PX = 190;
const FONT = "11px system-ui, sans-serif";
// Distances of grid lines for whole numbers.
const DECIMAL_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((it) => it * 10 ** power)).flat();
// Distances of grid lines that are whole numbers of KiB, MiB and so on.
const BINARY_STEPS = [0, 10, 20, 30, 40].flatMap((power) => [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map((it) => it * 2 ** power));

/** Periods that charts can show: [seconds, seconds between samples, text]. The server may keep samples for less time. */
export const AGES = [[60, 5, "minute"], [600, 5, "10 minutes"], [3600, 60, "hour"], [28800, 600, "8 hours"], [86400, 1800, "day"]];

/** The entry of AGES that the charts show. */
export const Age = createContext(AGES[1]);

/** Returns the query parameters that make the API return samples for a period. */
export function sampled([age, step]) {
  const kinds = ["lengths", "msg_rates", "data_rates"];
  return Object.fromEntries(kinds.flatMap((kind) => [[`${kind}_age`, age], [`${kind}_incr`, step]]));
}

// The series that a chart shows even while they are zero come first.
const LENGTHS = [
  ["messages", "Total", "c9"], ["messages_ready", "Ready", "c1"], ["messages_unacknowledged", "Unacked", "c2"],
];
const RATES = [
  ["publish", "Published", "c1"], ["deliver", "Delivered", "c2"], ["ack", "Acked", "c5"], ["confirm", "Confirmed", "c4"],
  ["deliver_no_ack", "Delivered, auto ack", "c3"], ["redeliver", "Redelivered", "c6"],
  ["get", "Got", "c7"], ["get_no_ack", "Got, auto ack", "c8"], ["get_empty", "Got nothing", "c9"],
  ["return_unroutable", "Returned, unroutable", "c6"], ["drop_unroutable", "Dropped, unroutable", "c8"],
  ["disk_reads", "Disk reads", "c7"], ["disk_writes", "Disk writes", "c9"],
];
// These series say little about clients, so they are drawn only if the user selects them in the legend.
const HIDDEN_AT_FIRST = ["disk_reads", "disk_writes"];
// These series mostly have the same values as the deliveries or publishes that they answer. Their lines are dashed, so that
// the line below stays visible.
const ANSWERS = new Set(["ack", "confirm"]);
const EXCHANGE_RATES = [["publish_in", "In", "c1"], ["publish_out", "Out", "c2"]];
const BYTES = [["recv_oct", "From client", "c1"], ["send_oct", "To client", "c2"]];

const MESSAGES = { format: count, tick: short, steps: DECIMAL_STEPS };
const MESSAGES_PER_S = { format: rate, tick: (it) => `${short(it)}/s` };
const BYTES_PER_S = { format: byteRate, tick: byteRate, steps: BINARY_STEPS };

/** totals: the message counts of an object with their samples: messages, messages_details.samples and so on. */
export function LengthsChart({ totals, title = "Queued messages" }) {
  return html`<${Chart} title=${title} series=${lines(LENGTHS, totals, 3, false)} unit=${MESSAGES} />`;
}

/** stats: the message_stats of an object. */
export function RatesChart({ stats, title = "Message rates" }) {
  return html`<${Chart} title=${title} series=${lines(RATES, stats, 3, true)} unit=${MESSAGES_PER_S} />`;
}

export function ExchangeRatesChart({ stats }) {
  return html`<${Chart} title="Message rates" series=${lines(EXCHANGE_RATES, stats, 2, true)} unit=${MESSAGES_PER_S} />`;
}

export function BytesChart({ connection }) {
  return html`<${Chart} title="Data rates" series=${lines(BYTES, connection, 2, true)} unit=${BYTES_PER_S} />`;
}

/**
 * Returns series {name, label, color, points: [[s, value]], now}. The first `always` series are always returned, the others
 * only if a value is not zero.
 */
function lines(names, stats, always, asRates) {
  return names
    .map(([name, label, color]) => {
      const details = stats?.[`${name}_details`];
      // The server returns the newest sample first.
      const samples = [...(details?.samples ?? [])].reverse();
      const points = asRates ? rates(samples) : samples.map((it) => [it.timestamp / 1000, it.sample]);
      const now = asRates ? details?.rate : stats?.[name];
      return { name, label, color, points, now: now ?? 0, isSampled: details !== undefined };
    })
    .filter((line, index) => index < always || line.now > 0 || line.points.some(([, it]) => it > 0));
}

function rates(samples) {
  return samples.slice(1).map((it, index) => {
    const before = samples[index];
    const seconds = (it.timestamp - before.timestamp) / 1000;
    return [it.timestamp / 1000, Math.max(0, (it.sample - before.sample) / seconds)];
  });
}

/** Returns a column of times and a column of values for each series, as uPlot expects. A missing value is null. */
function aligned(series) {
  const times = [...new Set(series.flatMap((line) => line.points.map(([at]) => at)))].sort((a, b) => a - b);
  return [times, ...series.map((line) => {
    const values = new Map(line.points);
    return times.map((at) => values.get(at) ?? null);
  })];
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** unit: {format: formats a value, tick: formats a label of the axis, steps: distances of grid lines}. */
function Chart({ title, series, unit }) {
  const { format } = unit;
  const [age] = useContext(Age);
  const [hidden, setHidden] = useState(new Set(HIDDEN_AT_FIRST));
  const box = useRef(null);
  const plot = useRef(null);
  const dark = useDark();
  const shown = series.filter((line) => !hidden.has(line.name));
  const data = aligned(shown);
  const shape = shown.map((line) => line.name).join();

  useEffect(() => {
    const width = box.current.clientWidth;
    plot.current = new uPlot(options(shown, width, age, unit), data, box.current);
    const resized = new ResizeObserver(([entry]) => plot.current?.setSize({ width: entry.contentRect.width, height: HEIGHT_PX }));
    resized.observe(box.current);
    return () => {
      resized.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape, age, dark]);

  useEffect(() => plot.current?.setData(data));

  const toggle = (name) => {
    const next = new Set(hidden);
    if (!next.delete(name)) next.add(name);
    setHidden(next);
  };
  const said = series.map((line) => `${line.label} ${format(line.now)}`).join(", ");
  const last = data[0].at(-1) ?? 0;
  // Statistics omit events that have never happened.
  const note = data[0].length > 1 ? "" : series.some((line) => line.isSampled) ? "Collecting samples…" : "No activity yet";
  return html`
    <${Card} title=${title} class="chart" actions=${note && html`<span class="collecting">${note}</span>`}>
      <div ref=${box} class="plot" role="img" aria-label=${`${title}, now: ${said}`} data-last=${last} data-points=${data[0].length}></div>
      <ul class="legend">
        ${series.map((line) => html`
          <li key=${line.name}>
            <button type="button" class="series" aria-pressed=${!hidden.has(line.name)} onClick=${() => toggle(line.name)}>
              <span class=${`swatch ${line.color}`} aria-hidden="true"></span>
              <span class="series-name">${line.label}</span>
              <strong>${format(line.now)}</strong>
            </button>
          </li>`)}
      </ul>
    <//>`;
}

const ruler = document.createElement("canvas").getContext("2d");

function textWidth(text) {
  ruler.font = FONT;
  return Math.ceil(ruler.measureText(text).width);
}

/** Returns the width of the value axis, which fits its longest label. */
function axisWidth(labels, least) {
  return Math.max(least, labels ? Math.max(...labels.map(textWidth)) + 14 : 40);
}

function options(series, width, age, { format, tick, steps }) {
  const grid = { stroke: color("grid"), width: 1 };
  // Labels of times are centred on their grid line, which may be the left or the right edge of the plot.
  const halfTime = Math.ceil(textWidth(clock(0, age)) / 2) + 2;
  const axis = { stroke: color("dim"), grid, ticks: { show: false }, font: FONT };
  return {
    width,
    height: HEIGHT_PX,
    padding: [10, halfTime, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    plugins: [tooltip(series, format)],
    scales: {
      // The time axis covers the whole period, even while there are fewer samples.
      x: { range: (_, from, until) => (Number.isFinite(until) ? [until - age, until] : [Date.now() / 1000 - age, Date.now() / 1000]) },
      y: { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] },
    },
    axes: [
      { ...axis, space: 70, size: 30, gap: 8, values: (_, splits) => splits.map((at) => clock(at, age)) },
      { ...axis, size: (_, labels) => axisWidth(labels, halfTime), ...(steps ? { incrs: steps } : {}), values: (_, splits) => splits.map(tick) },
    ],
    series: [{}, ...series.map((line) => ({
      label: line.label, stroke: color(line.color), width: 1.75, points: { show: false }, spanGaps: true,
      dash: ANSWERS.has(line.name) ? [5, 4] : undefined,
      fill: line.color === "c1" ? `${color(line.color)}1c` : undefined,
    }))],
  };
}

function clock(at, age) {
  const date = new Date(at * 1000);
  const two = (it) => String(it).padStart(2, "0");
  const minutes = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return age <= 600 ? `${minutes}:${two(date.getSeconds())}` : minutes;
}

/** A uPlot plugin that shows the values under the mouse pointer. */
function tooltip(series, format) {
  let box;
  return {
    hooks: {
      init: (plot) => {
        box = document.createElement("div");
        box.className = "tooltip";
        box.hidden = true;
        plot.over.append(box);
      },
      setCursor: (plot) => {
        const { idx, left } = plot.cursor;
        box.hidden = idx === null || idx === undefined || left < 0;
        if (box.hidden) return;
        const rows = series.map((line, index) => {
          const row = document.createElement("div");
          const swatch = document.createElement("span");
          swatch.className = `swatch ${line.color}`;
          const at = plot.data[index + 1][idx];
          row.append(swatch, `${line.label} ${at === null ? "–" : format(at)}`);
          return row;
        });
        const when = document.createElement("div");
        when.className = "tooltip-time";
        when.textContent = clock(plot.data[0][idx], 60);
        box.replaceChildren(when, ...rows);
        box.classList.toggle("left", left > plot.over.clientWidth / 2);
        box.style.left = left > plot.over.clientWidth / 2 ? "" : `${left + 12}px`;
        box.style.right = left > plot.over.clientWidth / 2 ? `${plot.over.clientWidth - left + 12}px` : "";
      },
    },
  };
}

function useDark() {
  const [dark, setDark] = useState(theme.isDark);
  useEffect(() => theme.watch(() => setDark(theme.isDark())), []);
  return dark;
}
