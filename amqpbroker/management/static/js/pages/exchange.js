import { html } from "../view.js";
import { del, exchangePath, get } from "../api.js";
import { afterAsking } from "../change.js";
import { useLive } from "../live.js";
import { go } from "../router.js";
import { useSession } from "../session.js";
import { ExchangeRatesChart, sampled } from "../chart.js";
import { Bindings, loadBefore } from "../bindings.js";
import { Badge, Card, Facts, Heading, Problem, Values } from "../parts.js";
import { Publish } from "../publish.js";
import { count, exchangeName } from "../format.js";
import { AgeChoice } from "./overview.js";
import { toLive } from "./live.js";
import { Features } from "./queues.js";

export function Exchange({ names: [vhost, given] }) {
  const { age } = useSession();
  const name = given === "amq.default" ? "" : given;
  const where = exchangePath(vhost, name);
  const query = new URLSearchParams(sampled(age));
  const { data: it, error, reload } = useLive(`${where} ${age}`, (signal) => get(`${where}?${query}`, signal));
  const bindings = useLive(`${where} bindings`, async (signal) => {
    const [incoming, outgoing] = await Promise.all([
      get(exchangePath(vhost, name, "bindings", "destination"), signal),
      // Every queue is bound to the default exchange, so its bindings are not drawn.
      name === "" ? [] : get(exchangePath(vhost, name, "bindings", "source"), signal),
    ]);
    return { incoming, outgoing, before: await loadBefore(incoming, signal) };
  });
  const shown = exchangeName(name);
  if (!it) return html`<${Heading} title=${shown} kind="Exchange" /><${Problem} error=${error} />`;
  const predefined = name === "" || name.startsWith("amq.");
  const remove = async () => {
    const done = await afterAsking({
      title: `Delete the exchange ${shown}?`, text: "Its bindings are deleted as well, and clients that publish to it get an error.", button: "Delete exchange",
      action: () => del(where), done: `The exchange ${shown} was deleted.`,
    });
    if (done) go("#/exchanges");
  };
  return html`
    <${Heading} title=${shown} kind="Exchange" badges=${html`<${Badge} text=${it.type} kind="type" /><${Features} of=${it} />`}>
      <${AgeChoice} />
      <a class="button" href=${toLive(vhost, "exchange", name)}>Live messages</a>
      ${!predefined && html`<button type="button" class="danger" onClick=${remove}>Delete</button>`}
    <//>
    <${Problem} error=${error} />
    <div class="grid two even">
      <${ExchangeRatesChart} stats=${it.message_stats} />
      <${Card} title="Details">
        <${Facts} rows=${[
          ["Virtual host", html`<span class="mono">${it.vhost}</span>`],
          ["Type", it.type],
          ["Durable", it.durable ? "yes" : "no"],
          ["Auto-delete", it.auto_delete ? "yes" : "no"],
          ["Internal", it.internal ? "yes" : "no"],
          ["Duplicates dropped", it.messages_deduplicated === undefined ? "" : count(it.messages_deduplicated)],
          ["Policy", it.policy],
          ["Created by", it.user_who_performed_action],
          Object.keys(it.arguments ?? {}).length > 0 && ["Arguments", html`<${Values} table=${it.arguments} />`],
        ]} />
      <//>
    </div>
    ${name === ""
      ? html`<${Card} title="Bindings"><p>Every queue of the virtual host is bound to the default exchange by its name.</p><//>`
      : html`<${Bindings} kind="exchange" vhost=${vhost} name=${name} bindings=${bindings.data} error=${bindings.error} onChange=${bindings.reload} />`}
    ${!it.internal && html`<${Card} title="Publish message"><${Publish} vhost=${vhost} exchange=${name} onPublished=${reload} /><//>`}`;
}
