// The start of the page: shows the login, or the frame around every page if a user is logged in.

import { html, render, useState, useEffect } from "./view.js";
import { whoami, whenLoggedOut } from "./api.js";
import { Login } from "./pages/login.js";
import { Shell } from "./shell.js";

function App() {
  // undefined: not known yet. null: nobody is logged in.
  const [who, setWho] = useState(undefined);
  const [ended, setEnded] = useState(false);
  useEffect(() => {
    whenLoggedOut(() => {
      setEnded(true);
      setWho(null);
    });
    whoami().then(setWho, () => setWho(null));
  }, []);
  if (who === undefined) return null;
  if (who === null) return html`<${Login} ended=${ended} onLogin=${setWho} />`;
  const leave = () => {
    setEnded(false);
    setWho(null);
  };
  return html`<${Shell} who=${who} onLogOut=${leave} />`;
}

render(html`<${App} />`, document.getElementById("app"));
