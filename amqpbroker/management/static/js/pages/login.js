import { html, useEffect, useRef, useState } from "../view.js";
import { defaultLogin, logIn } from "../api.js";
import { Form, Field } from "../form.js";
import { Icon } from "../icons.js";

/** ended: true if an earlier login has ended. */
export function Login({ onLogin, ended }) {
  const box = useRef(null);
  const [hint, setHint] = useState(null);
  useEffect(() => {
    defaultLogin().then(setHint);
    document.title = "Log in · amqpbroker";
    box.current.querySelector("input").focus();
  }, []);
  const submit = async ({ name, password }, form) => {
    try {
      onLogin(await logIn(name, password));
    } catch (error) {
      form.elements.password.value = "";
      form.elements.password.focus();
      throw error;
    }
  };
  return html`
    <main class="login" ref=${box}>
      <div class="login-box">
        <p class="brand"><${Icon} name="brand" />amqpbroker</p>
        <h1>Log in</h1>
        ${ended && html`<p class="hint" role="status">Your session has ended.</p>`}
        ${hint && html`<p class="login-hint">From this machine, log in as <code>${hint.username}</code> with the password <code>${hint.password}</code>.</p>`}
        <${Form} label="Log in" submit="Log in" onSubmit=${submit}>
          <${Field} label="User name" name="name" required autocomplete="username" autocapitalize="none" />
          <${Field} label="Password" name="password" type="password" autocomplete="current-password" />
        <//>
      </div>
    </main>`;
}
