// Icons. Each stands beside a text with the same meaning, so screen readers skip it.

import { html } from "./view.js";

const PATHS = {
  brand: "M2 8h3.5M5.5 8C8.5 8 8 3 11 3h3M5.5 8c3 0 2.5 5 5.5 5h3M5.5 8H14",
  overview: "M2 13.5h12M3.5 11V8M6.5 11V4M9.5 11V6.5M12.5 11V2.5",
  connections: "M6 10l4-4M7 4.5l1.2-1.2a3 3 0 014.3 4.3L11.3 8.8M9 11.5l-1.2 1.2a3 3 0 01-4.3-4.3L4.7 7.2",
  channels: "M2 4h12M2 8h12M2 12h12",
  exchanges: "M2 5h10M9.5 2.5L12 5 9.5 7.5M14 11H4M6.5 8.5L4 11l2.5 2.5",
  queues: "M2.5 3.5h11v3h-11zM2.5 6.5h11v3h-11zM2.5 9.5h11v3h-11z",
  batches: "M2 3.5h5v4H2zM9 3.5h5v4H9zM2 9.5h5v3H2zM9 11l2 2 3-4",
  jobs: "M2.5 5h11v8h-11zM6 5V3h4v2M2.5 8.5h11",
  menu: "M2 4h12M2 8h12M2 12h12",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  search: "M3 7a4 4 0 108 0 4 4 0 00-8 0M10 10l3.5 3.5",
  live: "M1.5 8H5l1.5-4 3 8L11 8h3.5",
  testing: "M6 2.5h4M7 2.5V6l-4 6.5a1 1 0 00.9 1.5h8.2a1 1 0 00.9-1.5L9 6V2.5M5 10h6",
  users: "M5.3 5.3a2.7 2.7 0 105.4 0 2.7 2.7 0 00-5.4 0M3 14c.4-2.7 2.3-4 5-4s4.6 1.3 5 4",
  vhosts: "M8 2l6 3-6 3-6-3zM2 8l6 3 6-3M2 11l6 3 6-3",
  policies: "M4 2h8v12H4zM6 5h4M6 8h4M6 11h2",
  limits: "M2.5 11.5a5.5 5.5 0 1111 0M8 11l2.5-3.5",
  shovels: "M2 4.5h4v7H2zM10 4.5h4v7h-4zM6 8h4M8.2 6.2L10 8 8.2 9.8",
  definitions: "M8 2v7.5M5 7l3 3 3-3M2.5 11v2.5h11V11",
};

export function Icon({ name }) {
  return html`<svg class="glyph" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
}
