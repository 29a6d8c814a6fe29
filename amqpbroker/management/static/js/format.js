// Numbers and times formatted for readers.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Formats a number: 12,345. An unknown number is a dash. */
export function count(value) {
  return typeof value === "number" ? whole.format(value) : "–";
}

/** Formats a rate per second with a useful number of digits: 0.4/s, 12/s, 1,234/s. An unknown rate is a dash. */
export function rate(value) {
  if (typeof value !== "number") return "–";
  if (value > 0 && value < 10) return `${value.toFixed(1)}/s`;
  return `${whole.format(value)}/s`;
}

/** Formats a number for the axis of a chart: 950, 1.2k, 3M. */
export function short(value) {
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit) return `${Number((value / unit).toPrecision(3))}${letter}`;
  }
  return String(Number(value.toPrecision(3)));
}

/** Formats a number of bytes in units of 1024. */
export function bytes(value) {
  if (typeof value !== "number") return "–";
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < 5) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
}

/** Formats bytes per second. */
export function byteRate(value) {
  return typeof value === "number" ? `${bytes(value)}/s` : "–";
}

/** Returns a cell with the rate of a counter in message_stats. A missing counter has the rate 0. */
export const rateOf = (name) => (it) => rate(it.message_stats?.[`${name}_details`]?.rate ?? 0);

/** Formats a duration given in milliseconds: 3 d 4 h, 5 min 10 s, 250 ms. */
export function span(ms) {
  if (typeof ms !== "number") return "–";
  const s = Math.floor(ms / 1000);
  const parts = [[Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "min"], [s % 60, "s"]];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return `${Math.round(ms)} ms`;
  return parts.slice(first, first + 2).map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

/** Formats a point in time given in milliseconds. */
export function time(ms) {
  return typeof ms === "number" ? clock.format(new Date(ms)) : "–";
}

/** Formats a value of an argument or a property. */
export function value(it) {
  return typeof it === "object" && it !== null ? JSON.stringify(it) : String(it);
}

export function plural(amount, one, many = `${one}s`) {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}

/** Returns the displayed name of an exchange. The default exchange has an empty name. */
export function exchangeName(name) {
  return name || "(default)";
}
