import { html, useState } from "../view.js";
import { del, get, path } from "../api.js";
import { afterAsking } from "../change.js";
import { Dialog } from "../dialog.js";
import { count } from "../format.js";
import { useLive } from "../live.js";
import { useSession } from "../session.js";
import { Card, Heading, Problem } from "../parts.js";
import { Table, useOrder } from "../table.js";

/** The first 500 batches of messages with x-batch-id: how many members succeeded, failed or are open. */
export function Batches() {
  const { vhost } = useSession();
  const where = vhost ? path("batches", vhost) : "batches";
  const { data, error, reload } = useLive(where, (signal) => get(`${where}?page=1&page_size=500`, signal));
  const [shown, setShown] = useState(null);
  const [rows, order, onOrder] = useOrder(data?.items ?? [], "created_at");
  const remove = async (it) => {
    const done = await afterAsking({
      title: `Delete the batch ${it.id}?`, text: "Its members stay in their queues. They are not counted, and no message about the batch is sent.",
      button: "Delete", action: () => del(path("batches", it.vhost, it.id)), done: `The batch ${it.id} was deleted.`,
    });
    if (done) reload();
  };
  const columns = [
    { id: "id", title: "Batch", sort: "id", class: "mono", cell: (it) => it.id },
    ...(vhost ? [] : [{ id: "vhost", title: "Vhost", sort: "vhost", class: "mono", cell: (it) => it.vhost }]),
    { id: "state", title: "State", sort: "state", cell: (it) => it.state },
    { id: "user", title: "User", sort: "user", class: "mono", cell: (it) => it.user || "–" },
    { id: "progress", title: "Progress", cell: (it) => html`<${Progress} it=${it} />` },
    { id: "ok", title: "Succeeded", sort: "ok", num: true, cell: (it) => count(it.ok) },
    { id: "failed", title: "Failed", sort: "failed", num: true, cell: (it) => count(it.failed) },
    { id: "open", title: "Open", sort: "open", num: true, cell: (it) => count(it.open) },
    { id: "size", title: "Size", sort: "size", num: true, cell: (it) => count(it.size) },
    { id: "expires", title: "Forgotten at", sort: "expires_at", cell: (it) => new Date(it.expires_at).toLocaleString() },
    {
      id: "change", title: "", class: "end",
      cell: (it) => html`
        ${it.failed > 0 && html`<button type="button" class="quiet" aria-label=${`Show failures of batch ${it.id}`} onClick=${() => setShown(it)}>Failures</button>`}
        <button type="button" class="quiet" aria-label=${`Delete batch ${it.id}`} onClick=${() => remove(it)}>Delete</button>`,
    },
  ];
  return html`
    <${Heading} title="Batches" />
    <${Card} title="Batches">
      <${Problem} error=${error} />
      ${data && html`<${Table} caption="Batches" columns=${columns} rows=${rows} rowKey=${(it) => path(it.vhost, it.id)}
        empty="No batches." order=${order} onOrder=${onOrder} />`}
      ${shown && html`<${Failures} it=${shown} onClose=${() => setShown(null)} />`}
    <//>`;
}

function Progress({ it }) {
  if (it.size === null) return "size unknown";
  const settled = it.ok + it.failed;
  return html`<progress aria-label=${`Progress of batch ${it.id}`} max=${Math.max(it.size, 1)} value=${it.size ? settled : 1}>${settled} of ${it.size}</progress>`;
}

function Failures({ it, onClose }) {
  const where = path("batches", it.vhost, it.id);
  const { data, error } = useLive(where, (signal) => get(where, signal));
  const columns = [
    { id: "message", title: "Message ID", class: "mono", cell: (row) => row.message_id || "–" },
    { id: "queue", title: "Queue", class: "mono", cell: (row) => row.queue || "–" },
    { id: "reason", title: "Reason", cell: (row) => row.reason },
  ];
  return html`
    <${Dialog} title=${`Failures of batch ${it.id}`} onClose=${onClose} wide>
      <${Problem} error=${error} />
      ${data && html`<${Table} caption="Failed members" columns=${columns} rows=${data.failures} rowKey=${(row) => `${row.message_id} ${row.queue}`} empty="No failures." />`}
    <//>`;
}
