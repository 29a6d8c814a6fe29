import { html, useState } from "../view.js";
import { del, get, path, put } from "../api.js";
import { announce } from "../announce.js";
import { OPERATOR_POLICY_KEYS, POLICY_KEYS } from "../arguments.js";
import { afterAsking } from "../change.js";
import { Dialog } from "../dialog.js";
import { Arguments, Field, Form, argumentRows, argumentTable } from "../form.js";
import { useLive } from "../live.js";
import { queueTargets } from "../queue_types.js";
import { to } from "../router.js";
import { firstVhost, useSession } from "../session.js";
import { Card, Heading, Problem, Values } from "../parts.js";
import { Table, useOrder } from "../table.js";
import { count } from "../format.js";

// more: the values of apply-to that include exchanges.
const KINDS = {
  "policies": {
    title: "Policies", one: "policy", keys: POLICY_KEYS,
    more: [["exchanges", "Exchanges"], ["all", "Exchanges and queues"]],
  },
  "operator-policies": {
    title: "Operator policies", one: "operator policy", keys: OPERATOR_POLICY_KEYS,
    more: [],
  },
};

export function Policies() {
  const { rights, overview } = useSession();
  const operator = rights.administer && overview?.is_op_policy_updating_enabled !== false;
  return html`
    <${Heading} title="Policies" />
    <${Kind} kind="policies" editable />
    <${Kind} kind="operator-policies" editable=${operator} />`;
}

function Kind({ kind, editable }) {
  const { vhost } = useSession();
  const { title, one } = KINDS[kind];
  const where = vhost ? path(kind, vhost) : kind;
  const { data, error, reload } = useLive(where, (signal) => get(where, signal));
  // null: no dialog; {}: a new policy; else the policy to change.
  const [editing, setEditing] = useState(null);
  const [rows, order, onOrder] = useOrder(data ?? [], "priority", true);
  const remove = async (it) => {
    const done = await afterAsking({
      title: `Delete the ${one} ${it.name}?`, text: "Its queues and exchanges continue without it.", button: "Delete",
      action: () => del(path(kind, it.vhost, it.name)), done: `The ${one} ${it.name} was deleted.`,
    });
    if (done) reload();
  };
  const columns = [
    { id: "name", title: "Name", sort: "name", cell: (it) => html`<a class="mono" href=${to([kind, it.vhost, it.name])}>${it.name}</a>` },
    ...(vhost ? [] : [{ id: "vhost", title: "Vhost", sort: "vhost", class: "mono", cell: (it) => it.vhost }]),
    { id: "pattern", title: "Pattern", sort: "pattern", class: "mono", cell: (it) => it.pattern },
    { id: "apply-to", title: "Applies to", sort: "apply-to", cell: (it) => it["apply-to"] },
    { id: "definition", title: "Definition", cell: (it) => html`<${Values} table=${it.definition} />` },
    { id: "priority", title: "Priority", sort: "priority", num: true, cell: (it) => count(it.priority) },
    ...(editable ? [{
      id: "change", title: "", class: "end",
      cell: (it) => html`
        <button type="button" class="quiet" aria-label=${`Change ${one} ${it.name}`} onClick=${() => setEditing(it)}>Change</button>
        <button type="button" class="quiet" aria-label=${`Delete ${one} ${it.name}`} onClick=${() => remove(it)}>Delete</button>`,
    }] : []),
  ];
  return html`
    <${Card} title=${title} actions=${editable && html`<button type="button" onClick=${() => setEditing({})}>Add ${one}</button>`}>
      <${Problem} error=${error} />
      ${data && html`<${Table} caption=${title} columns=${columns} rows=${rows} rowKey=${(it) => path(it.vhost, it.name)} empty=${`No ${title.toLowerCase()}.`} order=${order} onOrder=${onOrder} />`}
      ${editing && html`<${Edit} kind=${kind} policy=${editing} onClose=${() => setEditing(null)} onDone=${reload} />`}
    <//>`;
}

function Edit({ kind, policy, onClose, onDone }) {
  const session = useSession();
  const { one, keys, more } = KINDS[kind];
  const targets = [...queueTargets(session.overview), ...more];
  const isNew = policy.name === undefined;
  const [rows, setRows] = useState(argumentRows(policy.definition ?? {}));
  const title = isNew ? `Add ${one}` : `Change ${one} ${policy.name}`;
  const save = async (form) => {
    const [vhost, name] = isNew ? [form.vhost, form.name] : [policy.vhost, policy.name];
    await put(path(kind, vhost, name), {
      pattern: form.pattern, "apply-to": form.target, definition: argumentTable(rows), priority: Number(form.priority),
    });
    announce(`The ${one} ${name} was ${isNew ? "added" : "changed"}.`);
    onDone();
    onClose();
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose} wide>
      <${Form} label=${title} submit=${isNew ? `Add ${one}` : "Save"} onSubmit=${save} onCancel=${onClose}>
        <div class="fields">
          ${isNew && html`
            <${Field} label="Name" name="name" required autofocus class="mono" />
            <${Field} label="Virtual host" name="vhost" options=${session.vhosts} chosen=${firstVhost(session)} />`}
          <${Field} label="Pattern" name="pattern" required defaultValue=${policy.pattern} class="mono" hint="A regular expression of names, such as ^orders\\." />
          <${Field} label="Applies to" name="target" options=${targets} chosen=${policy["apply-to"] ?? "queues"} />
          <${Field} label="Priority" name="priority" type="number" defaultValue=${policy.priority ?? 0} hint="Of several policies that match, the one with the highest priority applies" />
        </div>
        <${Arguments} legend="Definition" rows=${rows} onChange=${setRows} presets=${keys} keyLabel="Key" />
      <//>
    <//>`;
}
