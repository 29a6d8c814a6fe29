import { html } from "../view.js";
import { del, get, path, put } from "../api.js";
import { announce } from "../announce.js";
import { afterAsking } from "../change.js";
import { Checkbox, Field, Form } from "../form.js";
import { useLive } from "../live.js";
import { LimitsCard } from "../limits.js";
import { PermissionsCard, TopicPermissionsCard } from "../permissions.js";
import { go } from "../router.js";
import { useSession } from "../session.js";
import { Card, Facts, Heading, Problem } from "../parts.js";
import { TAGS, TagBadges } from "./users.js";

export function User({ names: [name] }) {
  const { rights, who } = useSession();
  if (!rights.administer) return html`<${Self} who=${who} name=${name} />`;
  return html`<${Full} name=${name} />`;
}

/** The page of the logged-in user, who may not see other users. */
function Self({ who, name }) {
  if (name !== who.name) return html`<${Heading} title=${name} kind="User" /><p class="problem">Only administrators see other users.</p>`;
  return html`
    <${Heading} title=${name} kind="User" />
    <${Card} title="You"><${Facts} rows=${[["Tags", html`<${TagBadges} tags=${who.tags} />`]]} /><//>`;
}

function Full({ name }) {
  const { vhosts, who } = useSession();
  const where = path("users", name);
  const user = useLive(where, (signal) => get(where, signal));
  const permissions = useLive(`${where}/permissions`, (signal) => get(`${where}/permissions`, signal));
  const topics = useLive(`${where}/topic-permissions`, (signal) => get(`${where}/topic-permissions`, signal));
  const limits = useLive(`user-limits ${name}`, (signal) => get(path("user-limits", name), signal));
  const it = user.data;
  if (!it) return html`<${Heading} title=${name} kind="User" /><${Problem} error=${user.error} />`;
  const update = async (form, element) => {
    const tags = TAGS.map(([tag]) => tag).filter((tag) => tag && form[`tag ${tag}`] === "on");
    const others = it.tags.filter((tag) => !TAGS.some(([known]) => known === tag));
    const body = { tags: [...tags, ...others].join(",") };
    if (form.what === "clear") body.password_hash = "";
    else if (form.what === "set") {
      if (form.password === "") throw new Error("The new password is empty.");
      if (form.password !== form.again) throw new Error("The two passwords are not the same.");
      body.password = form.password;
    } else {
      body.password_hash = it.password_hash;
      body.hashing_algorithm = it.hashing_algorithm;
    }
    await put(where, body);
    announce(`The user ${name} was changed.`);
    element.elements.password.value = "";
    element.elements.again.value = "";
    user.reload();
  };
  const remove = async () => {
    const done = await afterAsking({
      title: `Delete the user ${name}?`, text: "Its permissions go with it, and its connections are closed.", button: "Delete user",
      action: () => del(where), done: `The user ${name} was deleted.`,
    });
    if (done) go("#/users");
  };
  return html`
    <${Heading} title=${name} kind="User" badges=${html`<${TagBadges} tags=${it.tags} />`}>
      ${name !== who.name && html`<button type="button" class="danger" onClick=${remove}>Delete</button>`}
    <//>
    <div class="grid two">
      <div class="stack">
        <${PermissionsCard} rows=${permissions.data ?? []} other="vhost" names=${vhosts} fixed=${{ user: name }} onChange=${permissions.reload} />
        <${TopicPermissionsCard} rows=${topics.data ?? []} other="vhost" names=${vhosts} fixed=${{ user: name }} onChange=${topics.reload} />
      </div>
      <div class="stack">
        <${Card} title="Change user">
          <${Form} label="Change user" submit="Change user" onSubmit=${update}>
            <fieldset class="checks"><legend>Tags</legend>
              ${TAGS.filter(([tag]) => tag).map(([tag, text]) => html`
                <${Checkbox} key=${tag} name=${`tag ${tag}`} label=${text} defaultChecked=${it.tags.includes(tag)} />`)}
            </fieldset>
            <div class="fields">
              <${Field} label="Password" name="what" options=${[["keep", "leave as it is"], ["set", "set the one below"], ["clear", "none"]]} chosen="keep" />
              <${Field} label="New password" name="password" type="password" autocomplete="new-password" />
              <${Field} label="New password again" name="again" type="password" autocomplete="new-password" />
            </div>
          <//>
        <//>
        <${LimitsCard} of="user" name=${name} values=${limits.data?.[0]?.value ?? {}} onChange=${limits.reload} />
      </div>
    </div>`;
}
