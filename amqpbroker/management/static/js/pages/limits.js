import { html, useState } from "../view.js";
import { get } from "../api.js";
import { announce } from "../announce.js";
import { Field, Form } from "../form.js";
import { LIMITS, clearLimit, limitText, limitValue, setLimit } from "../limits.js";
import { useLive } from "../live.js";
import { toUser, toVhost } from "../router.js";
import { useSession } from "../session.js";
import { Card, Heading, Problem } from "../parts.js";
import { Table } from "../table.js";

const KINDS = {
  vhost: { title: "Virtual host limits", owner: "Virtual host", address: toVhost },
  user: { title: "User limits", owner: "User", address: toUser },
};

export function Limits() {
  const { vhosts } = useSession();
  const users = useLive("users names", async (signal) => (await get("users", signal)).map((it) => it.name));
  return html`
    <${Heading} title="Limits" />
    <div class="grid two">
      <${Kind} of="vhost" names=${vhosts} />
      <${Kind} of="user" names=${users.data ?? []} />
    </div>`;
}

function Kind({ of, names }) {
  const { title, owner, address } = KINDS[of];
  const { data, error, reload } = useLive(`${of}-limits`, (signal) => get(`${of}-limits`, signal));
  const [limit, setLimitName] = useState(LIMITS[of][0][0]);
  const rows = (data ?? []).flatMap((it) => Object.entries(it.value).map(([name, value]) => ({ owner: it[of], name, value })));
  const set = async (form) => {
    await setLimit(of, form.owner, limit, Number(form.value));
    announce(`The limit of ${form.owner} was set.`);
    reload();
  };
  const clear = async (it) => {
    if (await clearLimit(of, it.owner, it.name)) reload();
  };
  return html`
    <${Card} title=${title}>
      <${Problem} error=${error} />
      <${Table} caption=${title} rows=${rows} rowKey=${(it) => `${it.owner} ${it.name}`} empty="No limits." columns=${[
        { id: "owner", title: owner, cell: (it) => html`<a class="mono" href=${address(it.owner)}>${it.owner}</a>` },
        { id: "limit", title: "Of", cell: (it) => limitText(of, it.name) },
        { id: "value", title: "Limit", num: true, cell: (it) => limitValue(it.value) },
        {
          id: "remove", title: "", class: "end",
          cell: (it) => html`<button type="button" class="quiet" aria-label=${`Remove limit ${limitText(of, it.name)} of ${it.owner}`} onClick=${() => clear(it)}>Remove</button>`,
        },
      ]} />
      <details class="more" open>
        <summary>Set limit</summary>
        <${Form} label=${`Set ${of} limit`} submit="Set limit" onSubmit=${set}>
          <div class="fields">
            <${Field} label=${owner} name="owner" options=${names} />
            <${Field} label="Limit" name="limit" options=${LIMITS[of]} chosen=${limit} onChange=${(event) => setLimitName(event.currentTarget.value)} />
            <${Field} label="At most" name="value" type="number" required />
          </div>
        <//>
      </details>
    <//>`;
}
