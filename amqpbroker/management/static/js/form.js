// Forms: fields with labels, error messages beside the button, and an editor for arguments.

import { html, Fragment, useState, useId, useRef } from "./view.js";

/**
 * A form. `onSubmit(values, form)` may be async; `values` are the fields by name. The form shows the errors that it throws.
 * `onCancel` adds a Cancel button. `reset` empties the fields after a success.
 */
export function Form({ label, submit, onSubmit, onCancel, reset, danger, children }) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const [round, setRound] = useState(0);
  const failed = useId();
  const send = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    setBusy(true);
    setError("");
    try {
      await onSubmit(Object.fromEntries(new FormData(form)), form);
      if (reset) setRound((before) => before + 1);
    } catch (problem) {
      if (problem.name !== "AbortError") setError(problem.message);
    } finally {
      setBusy(false);
    }
  };
  return html`
    <form aria-label=${label} onSubmit=${send} aria-describedby=${error ? failed : null}>
      <${Fragment} key=${round}>${children}<//>
      <p class="form-error" role="alert" id=${failed}>${error}</p>
      <div class="actions">
        ${onCancel && html`<button type="button" onClick=${onCancel}>Cancel</button>`}
        <button type="submit" class=${danger ? "danger" : "primary"} aria-disabled=${busy}>${submit}</button>
      </div>
    </form>`;
}

/**
 * A labelled control. `options`, [[value, text]] or strings, make it a list that first selects `chosen`; `rows` makes it a
 * text area. Use `defaultValue`, not `value`, if the user changes the control: each rendering sets `value` again.
 */
export function Field({ label, hint, options, rows, suggestions, wide, chosen, ...control }) {
  const id = useId();
  const about = hint ? `${id}-hint` : null;
  const common = { id, "aria-describedby": about, ...control };
  let input;
  if (options) {
    input = html`<select ...${common}>
      ${options.map((option) => {
        const [value, text] = Array.isArray(option) ? option : [option, option];
        return html`<option value=${value} key=${value} selected=${value === chosen}>${text}</option>`;
      })}
    </select>`;
  } else if (rows) {
    input = html`<textarea rows=${rows} spellcheck=${false} ...${common}></textarea>`;
  } else {
    input = html`<input autocomplete="off" spellcheck=${false} list=${suggestions ? `${id}-list` : null} ...${common} />`;
  }
  return html`
    <div class=${wide ? "field wide" : "field"}>
      <label for=${id}>${label}</label>
      ${input}
      ${suggestions && html`<datalist id=${`${id}-list`}>${suggestions.map((it) => html`<option value=${it} key=${it} />`)}</datalist>`}
      ${hint && html`<p class="hint" id=${about}>${hint}</p>`}
    </div>`;
}

export function Checkbox({ label, hint, ...control }) {
  const id = useId();
  return html`
    <div class="field check">
      <input type="checkbox" id=${id} aria-describedby=${hint ? `${id}-hint` : null} ...${control} />
      <label for=${id}>${label}</label>
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    </div>`;
}

const TYPES = [["string", "text"], ["number", "number"], ["boolean", "yes or no"], ["json", "JSON"]];

/** Returns the editor's rows for existing arguments. */
export function argumentRows(table) {
  return Object.entries(table).map(([key, value]) => {
    const type = typeof value === "object" ? "json" : typeof value;
    return { key, type, value: type === "json" ? JSON.stringify(value) : String(value) };
  });
}

/** Returns the arguments in the editor's rows. Throws Error if a value does not have its type. */
export function argumentTable(rows) {
  const table = {};
  for (const { key, type, value } of rows) {
    if (key === "") {
      if (value === "") continue;
      throw new Error(`The value ${value} needs a name.`);
    }
    table[key] = typed(key, type, value);
  }
  return table;
}

function typed(key, type, value) {
  if (type === "number") {
    if (value.trim() === "" || Number.isNaN(Number(value))) throw new Error(`${key} has to be a number.`);
    return Number(value);
  }
  if (type === "boolean") {
    const said = { true: true, yes: true, false: false, no: false }[value.trim().toLowerCase()];
    if (said === undefined) throw new Error(`${key} has to be true or false.`);
    return said;
  }
  if (type === "json") {
    try {
      return JSON.parse(value);
    } catch {
      throw new Error(`${key} has to be JSON, such as ["a", "b"] or {"a": 1}.`);
    }
  }
  return value;
}

/**
 * An editor of rows {key, type, value}. `presets`: [{key, type, title, value, options}]; a click adds a row with its type.
 */
export function Arguments({ legend, rows, onChange, presets = [], keyLabel = "Name" }) {
  const group = useRef(null);
  const known = new Map(presets.map((preset) => [preset.key, preset]));
  const names = useId();
  const focusLast = () =>
    setTimeout(() => {
      const lines = group.current?.querySelectorAll(".argument") ?? [];
      const line = lines[lines.length - 1];
      const key = line?.querySelector(".argument-key");
      (key?.value ? line.querySelector(".argument-value") : key)?.focus();
    });
  const add = (preset) => {
    const row = preset ? { key: preset.key, type: preset.type, value: preset.value ?? "" } : { key: "", type: "string", value: "" };
    onChange([...rows, row]);
    focusLast();
  };
  const change = (index, changes) =>
    onChange(rows.map((row, i) => {
      if (i !== index) return row;
      const preset = changes.key !== undefined && known.get(changes.key);
      return { ...row, ...(preset ? { type: preset.type } : {}), ...changes };
    }));
  const remove = (index) => {
    onChange(rows.filter((_, i) => i !== index));
    setTimeout(() => group.current?.querySelector(".argument-add")?.focus());
  };
  const used = new Set(rows.map((row) => row.key));
  return html`
    <fieldset ref=${group} class="arguments">
      <legend>${legend}</legend>
      ${rows.map((row, index) => html`
        <div class="argument" key=${index}>
          <input class="argument-key mono" aria-label=${keyLabel} placeholder=${keyLabel.toLowerCase()} list=${names} value=${row.key}
            autocomplete="off" spellcheck=${false} onInput=${(event) => change(index, { key: event.currentTarget.value })} />
          ${value(row, index, known.get(row.key), change)}
          <select aria-label=${`Type of ${row.key || "value"}`} onChange=${(event) => change(index, { type: event.currentTarget.value })}>
            ${TYPES.map(([type, text]) => html`<option value=${type} key=${type} selected=${type === row.type}>${text}</option>`)}
          </select>
          <button type="button" class="quiet icon" aria-label=${`Remove ${row.key || "row"}`} onClick=${() => remove(index)}>✕</button>
        </div>`)}
      <datalist id=${names}>${presets.map((preset) => html`<option value=${preset.key} key=${preset.key} />`)}</datalist>
      <div class="presets">
        <button type="button" class="chip argument-add" onClick=${() => add(null)}>+ Any</button>
        ${presets.filter((preset) => !used.has(preset.key)).map((preset) => html`
          <button type="button" class="chip" key=${preset.key} title=${preset.key} onClick=${() => add(preset)}>+ ${preset.title}</button>`)}
      </div>
    </fieldset>`;
}

function value(row, index, preset, change) {
  const label = `Value of ${row.key || "row"}`;
  const choices = row.type === "boolean" ? ["true", "false"] : preset?.options;
  const set = (event) => change(index, { value: event.currentTarget.value });
  if (choices) {
    return html`
      <select class="argument-value" aria-label=${label} onChange=${set}>
        ${choices.includes(row.value) ? null : html`<option value=${row.value} selected>${row.value || "choose"}</option>`}
        ${choices.map((choice) => html`<option value=${choice} key=${choice} selected=${choice === row.value}>${choice}</option>`)}
      </select>`;
  }
  return html`
    <input class="argument-value mono" aria-label=${label} placeholder=${preset?.hint ?? "value"} value=${row.value} autocomplete="off"
      spellcheck=${false} inputmode=${row.type === "number" ? "decimal" : null} onInput=${set} />`;
}
