import { html, useState } from "../view.js";
import { get, path, post } from "../api.js";
import { announce } from "../announce.js";
import { confirmed } from "../dialog.js";
import { Field, Form } from "../form.js";
import { useSession } from "../session.js";
import { Card, Facts, Heading } from "../parts.js";
import { bytes, plural } from "../format.js";

const KINDS = [
  ["users", "user"], ["vhosts", "virtual host"], ["permissions", "permission"], ["policies", "policy", "policies"], ["queues", "queue"],
  ["exchanges", "exchange"], ["bindings", "binding"], ["parameters", "parameter"],
];

/** Returns a summary of the objects in definitions. */
function contents(definitions) {
  const found = KINDS.filter(([key]) => definitions[key]?.length > 0);
  return found.map(([key, one, many]) => plural(definitions[key].length, one, many)).join(", ") || "nothing";
}

const address = (vhost) => (vhost ? path("definitions", vhost) : "definitions");

function choices(vhosts) {
  return [["", "Everything"], ...vhosts.map((name) => [name, `Virtual host ${name}`])];
}

export function Definitions() {
  return html`
    <${Heading} title="Definitions" />
    <p class="lead">Definitions are everything but messages: users, virtual hosts, permissions, policies, exchanges, queues and bindings, in RabbitMQ's format.</p>
    <div class="grid two"><${Export} /><${Import} /></div>`;
}

function Export() {
  const { vhosts, overview } = useSession();
  const save = async (form) => {
    const definitions = await get(address(form.vhost));
    const text = JSON.stringify(definitions, null, 2);
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = fileName(overview?.cluster_name ?? "broker", form.vhost);
    link.click();
    URL.revokeObjectURL(url);
    announce(`Definitions were exported: ${contents(definitions)}.`);
  };
  return html`
    <${Card} title="Export">
      <${Form} label="Export definitions" submit="Export definitions" onSubmit=${save}>
        <${Field} label="What" name="vhost" options=${choices(vhosts)} chosen="" hint="The file holds password hashes if it holds users." />
      <//>
    <//>`;
}

function fileName(cluster, vhost) {
  const date = new Date().toISOString().slice(0, 10);
  return `definitions_${cluster}${vhost ? `_${vhost}` : ""}_${date}.json`.replaceAll(/[^\w.@-]+/g, "_");
}

function Import() {
  const { vhosts, reloadVhosts } = useSession();
  const [chosen, setChosen] = useState(null);
  const read = async (event) => {
    const [file] = event.currentTarget.files;
    setChosen(file ? await parsed(file) : null);
  };
  const load = async (form, element) => {
    if (!chosen) throw new Error("Choose a file first.");
    if (chosen.error) throw new Error(chosen.error);
    const into = form.vhost ? `the virtual host ${form.vhost}` : "the broker";
    const text = `${contents(chosen.definitions)} will be added to ${into}. Users, permissions and policies of the same name are replaced; queues and exchanges that exist stay as they are.`;
    if (!(await confirmed("Import these definitions?", text, "Import"))) return;
    await post(address(form.vhost), chosen.definitions);
    announce(`Definitions were imported: ${contents(chosen.definitions)}.`);
    element.reset();
    setChosen(null);
    reloadVhosts();
  };
  return html`
    <${Card} title="Import">
      <${Form} label="Import definitions" submit="Import definitions" onSubmit=${load}>
        <${Field} label="File" name="file" type="file" accept=".json,application/json" onChange=${read} required />
        ${chosen && html`<${Facts} rows=${[["Size", bytes(chosen.size)], ["Holds", chosen.error ?? contents(chosen.definitions)]]} />`}
        <${Field} label="Into" name="vhost" options=${choices(vhosts)} chosen="" hint="A file of one virtual host needs one to go into." />
      <//>
    <//>`;
}

async function parsed(file) {
  try {
    const definitions = JSON.parse(await file.text());
    if (definitions === null || typeof definitions !== "object" || Array.isArray(definitions)) throw new Error();
    return { size: file.size, definitions };
  } catch {
    return { size: file.size, error: "This file does not hold definitions in JSON." };
  }
}
