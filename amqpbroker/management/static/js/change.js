// Changes outside a form: confirmation before the change, announcement after it.

import { announce } from "./announce.js";
import { confirmed } from "./dialog.js";

/**
 * Runs `action` if the user confirms. Returns true if the action succeeded; an error is announced, and so is `done` unless the
 * action does that.
 */
export async function afterAsking({ title, text, button, action, done }) {
  if (!(await confirmed(title, text, button))) return false;
  return attempted(action, done);
}

export async function attempted(action, done) {
  try {
    await action();
  } catch (error) {
    announce(error.message);
    return false;
  }
  if (done) announce(done);
  return true;
}
