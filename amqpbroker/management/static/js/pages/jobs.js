import { html } from "../view.js";
import { del, get, path } from "../api.js";
import { afterAsking } from "../change.js";
import { useLive } from "../live.js";
import { useSession } from "../session.js";
import { Card, Heading, Problem } from "../parts.js";
import { Table, useOrder } from "../table.js";

/** The first 500 jobs that the user may look up: messages with x-job, and where they are. */
export function Jobs() {
  const { vhost } = useSession();
  const where = vhost ? path("jobs", vhost) : "jobs";
  const { data, error, reload } = useLive(where, (signal) => get(`${where}?page=1&page_size=500`, signal));
  const [rows, order, onOrder] = useOrder(data?.items ?? [], "created_at");
  const remove = async (it) => {
    const done = await afterAsking({
      title: `Delete the job ${it.id}?`,
      text: it.ended_at ? "Its reply is deleted, too." : "Its messages stay in their queues. Nobody can look up their state or the reply of the worker.",
      button: "Delete", action: () => del(`${path("jobs", it.vhost, it.id)}?user=${encodeURIComponent(it.user)}&force=true`), done: `The job ${it.id} was deleted.`,
    });
    if (done) reload();
  };
  const columns = [
    { id: "id", title: "Job", sort: "id", class: "mono", cell: (it) => it.id },
    ...(vhost ? [] : [{ id: "vhost", title: "Vhost", sort: "vhost", class: "mono", cell: (it) => it.vhost }]),
    { id: "state", title: "State", sort: "state", cell: (it) => (it.reason ? `${it.state}: ${it.reason}` : it.state) },
    { id: "user", title: "User", sort: "user", class: "mono", cell: (it) => it.user || "–" },
    { id: "queue", title: "Queue", sort: "queue", class: "mono", cell: (it) => it.queue ?? "–" },
    { id: "created", title: "Created at", sort: "created_at", cell: (it) => new Date(it.created_at).toLocaleString() },
    { id: "expires", title: "Forgotten at", sort: "expires_at", cell: (it) => (it.expires_at ? new Date(it.expires_at).toLocaleString() : "–") },
    {
      id: "change", title: "", class: "end",
      cell: (it) => html`
        <button type="button" class="quiet" aria-label=${`Delete job ${it.id}`} onClick=${() => remove(it)}>Delete</button>`,
    },
  ];
  return html`
    <${Heading} title="Jobs" />
    <${Card} title="Jobs">
      <${Problem} error=${error} />
      ${data && html`<${Table} caption="Jobs" columns=${columns} rows=${rows} rowKey=${(it) => path(it.vhost, it.user, it.id)}
        empty="No jobs." order=${order} onOrder=${onOrder} />`}
    <//>`;
}
