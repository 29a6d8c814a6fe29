import { html } from "../view.js";
import { del, get, path } from "../api.js";
import { afterAsking } from "../change.js";
import { useLive } from "../live.js";
import { LimitsCard } from "../limits.js";
import { PermissionsCard, TopicPermissionsCard } from "../permissions.js";
import { go } from "../router.js";
import { useSession } from "../session.js";
import { LengthsChart, RatesChart, sampled } from "../chart.js";
import { Card, Facts, Heading, Problem, Tiles } from "../parts.js";
import { count } from "../format.js";
import { AgeChoice } from "./overview.js";

export function Vhost({ names: [name] }) {
  const { age, reloadVhosts, vhost, setVhost } = useSession();
  const where = path("vhosts", name);
  const query = new URLSearchParams(sampled(age));
  const { data: it, error } = useLive(`${where} ${age}`, (signal) => get(`${where}?${query}`, signal));
  const permissions = useLive(`${where}/permissions`, (signal) => get(`${where}/permissions`, signal));
  const topics = useLive(`${where}/topic-permissions`, (signal) => get(`${where}/topic-permissions`, signal));
  const limits = useLive(`vhost-limits ${name}`, (signal) => get(path("vhost-limits", name), signal));
  const users = useLive("users names", async (signal) => (await get("users", signal)).map((user) => user.name));
  if (!it) return html`<${Heading} title=${name} kind="Virtual host" /><${Problem} error=${error} />`;
  const remove = async () => {
    const done = await afterAsking({
      title: `Delete the virtual host ${name}?`, button: "Delete virtual host", action: () => del(where), done: `The virtual host ${name} was deleted.`,
      text: "All its queues with their messages, its exchanges, policies and permissions go with it, and its connections are closed.",
    });
    if (!done) return;
    if (vhost === name) setVhost("");
    reloadVhosts();
    go("#/vhosts");
  };
  return html`
    <${Heading} title=${name} kind="Virtual host">
      <${AgeChoice} />
      <button type="button" class="danger" onClick=${remove}>Delete</button>
    <//>
    <${Problem} error=${error} />
    <${Tiles} tiles=${[
      ["Ready", count(it.messages_ready ?? 0)],
      ["Unacked", count(it.messages_unacknowledged ?? 0)],
      ["Total", count(it.messages ?? 0)],
    ]} />
    <div class="grid two even">
      <${LengthsChart} totals=${it} />
      <${RatesChart} stats=${it.message_stats} />
    </div>
    <div class="grid two">
      <div class="stack">
        <${PermissionsCard} rows=${permissions.data ?? []} other="user" names=${users.data ?? []} fixed=${{ vhost: name }} onChange=${permissions.reload} />
        <${TopicPermissionsCard} rows=${topics.data ?? []} other="user" names=${users.data ?? []} fixed=${{ vhost: name }} onChange=${topics.reload} />
      </div>
      <div class="stack">
        <${Card} title="Details">
          <${Facts} rows=${[
            ["Description", it.description],
            ["Tags", (it.tags ?? []).join(", ")],
            ["Default queue type", it.default_queue_type],
            ["Protected from deletion", it.metadata?.protected_from_deletion ? "yes" : ""],
          ]} />
        <//>
        <${LimitsCard} of="vhost" name=${name} values=${limits.data?.[0]?.value ?? {}} onChange=${limits.reload} />
      </div>
    </div>`;
}
