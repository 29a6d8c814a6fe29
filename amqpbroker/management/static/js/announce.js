// Announcements of what happened. The page shows each for a few seconds, and screen readers read it aloud.

import { html, useState, useEffect } from "./view.js";

const SHOWN_FOR_MS = 6000;
let show = () => {};
let last = 0;

export function announce(text) {
  show({ id: ++last, text });
}

export function Announcements() {
  const [messages, setMessages] = useState([]);
  useEffect(() => {
    show = (message) => {
      setMessages((old) => [...old.slice(-2), message]);
      setTimeout(() => setMessages((old) => old.filter((other) => other.id !== message.id)), SHOWN_FOR_MS);
    };
  }, []);
  return html`
    <div class="announcements" role="status" aria-live="polite">
      ${messages.map((message) => html`<p class="announcement" key=${message.id}>${message.text}</p>`)}
    </div>`;
}
