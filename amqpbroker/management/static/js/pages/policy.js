import { html } from "../view.js";
import { get, path } from "../api.js";
import { useLive } from "../live.js";
import { toExchange, toQueue } from "../router.js";
import { Badge, Card, Facts, Heading, Problem, Values } from "../parts.js";
import { Table } from "../table.js";
import { count, exchangeName, plural } from "../format.js";

const MOST = 500;

export const Policy = ({ names }) => html`<${Applied} kind="policies" one="Policy" field="policy" names=${names} />`;
export const OperatorPolicy = ({ names }) => html`<${Applied} kind="operator-policies" one="Operator policy" field="operator_policy" names=${names} />`;

/** A policy with the queues and exchanges that it applies to. field: the column with the name of the policy in force. */
function Applied({ kind, one, field, names: [vhost, name] }) {
  const where = path(kind, vhost, name);
  const policy = useLive(where, (signal) => get(where, signal));
  const it = policy.data;
  const objects = useLive(`${where} ${it?.pattern} ${it?.["apply-to"]}`, (signal) => (it ? load(it, signal) : null), { keep: true });
  if (!it) return html`<${Heading} title=${name} kind=${one} /><${Problem} error=${policy.error} />`;
  const rows = (objects.data?.rows ?? []).filter((row) => row[field] === name || matches(it.pattern, row.name));
  const applied = rows.filter((row) => row[field] === name);
  return html`
    <${Heading} title=${name} kind=${one} />
    <${Card} title="Details">
      <${Facts} rows=${[
        ["Virtual host", html`<span class="mono">${it.vhost}</span>`],
        ["Pattern", html`<span class="mono">${it.pattern}</span>`],
        ["Applies to", it["apply-to"]],
        ["Priority", count(it.priority)],
        ["Definition", html`<${Values} table=${it.definition} />`],
      ]} />
    <//>
    <${Card} title="Queues and exchanges" actions=${objects.data && html`<span class="dim">applies to ${plural(applied.length, "object")}</span>`}>
      <${Problem} error=${objects.error} />
      ${objects.data && html`
        <${Table} caption="Queues and exchanges that the policy applies to" rows=${rows} rowKey=${(row) => `${row.kind} ${row.name}`}
          empty="No queue or exchange matches the pattern." columns=${columns(name, field)} />`}
      ${objects.data?.isCut && html`<p class="hint">Only the first ${count(MOST)} matching queues and exchanges are shown.</p>`}
    <//>`;
}

const columns = (name, field) => [
  {
    id: "name", title: "Name",
    cell: (it) => html`<a class="mono" href=${it.kind === "queue" ? toQueue(it.vhost, it.name) : toExchange(it.vhost, it.name)}>${exchangeName(it.name)}</a>`,
  },
  { id: "kind", title: "Kind", cell: (it) => `${it.type} ${it.kind}` },
  {
    id: "state", title: "Policy in force",
    cell: (it) => (it[field] === name
      ? html`<${Badge} kind="policy" text=${name} />`
      : html`<span class="dim">${it[field] ? `${it[field]} has precedence` : "none: it does not apply to this kind"}</span>`),
  },
];

/** Returns the queues and exchanges whose names match the pattern, and more: the server's search ignores case. */
async function load({ vhost, pattern, "apply-to": target }, signal) {
  const kinds = [target !== "exchanges" && ["queue", "queues"], ["all", "exchanges"].includes(target) && ["exchange", "exchanges"]].filter(Boolean);
  const query = new URLSearchParams({
    page: 1, page_size: MOST, name: pattern, use_regex: true, pagination: true, columns: "name,vhost,type,policy,operator_policy",
  });
  const answers = await Promise.all(kinds.map(([, kind]) => get(`${path(kind, vhost)}?${query}`, signal)));
  return {
    rows: answers.flatMap(({ items }, index) => items.map((it) => ({ ...it, kind: kinds[index][0] }))),
    isCut: answers.some(({ filtered_count, items }) => filtered_count > items.length),
  };
}

function matches(pattern, name) {
  try {
    return new RegExp(pattern).test(name);
  } catch {
    return false;
  }
}
