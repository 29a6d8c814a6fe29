// Modal dialogs. The browser's <dialog> keeps the focus inside, closes on Escape and returns the focus afterwards.

import { html, useState, useEffect, useRef, useId } from "./view.js";

/** A dialog that is open as long as it is rendered. `onClose` is called when the user closes the dialog. */
export function Dialog({ title, onClose, wide, children }) {
  const element = useRef(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  const cancel = (event) => {
    if (event.target !== element.current) return;
    event.preventDefault();
    onClose();
  };
  return html`
    <dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby=${heading} onCancel=${cancel}>
      <header class="dialog-head">
        <h2 id=${heading}>${title}</h2>
        <button type="button" class="quiet icon" aria-label="Close" onClick=${onClose}>✕</button>
      </header>
      ${children}
    </dialog>`;
}

let ask = () => Promise.resolve(false);

/** Asks the user to confirm an action that cannot be undone. Resolves to true if confirmed. `action`: text of the button. */
export function confirmed(title, text, action) {
  return ask(title, text, action);
}

/** The element that shows the questions of `confirmed`. */
export function Confirmations() {
  const [question, setQuestion] = useState(null);
  useEffect(() => {
    ask = (title, text, action) =>
      new Promise((resolve) => setQuestion({ title, text, action, resolve }));
  }, []);
  if (!question) return null;
  const answer = (yes) => {
    setQuestion(null);
    question.resolve(yes);
  };
  return html`
    <${Dialog} title=${question.title} onClose=${() => answer(false)}>
      <p>${question.text}</p>
      <div class="actions">
        <button type="button" onClick=${() => answer(false)} autofocus>Cancel</button>
        <button type="button" class="danger" onClick=${() => answer(true)}>${question.action}</button>
      </div>
    <//>`;
}
