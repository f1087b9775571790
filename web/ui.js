// Buttons that say what went wrong, short messages, dialogs.

import { Refused } from "./api.js";
import { h, sentence } from "./dom.js";

const TOASTS_MAX = 3;
const TOAST_MS = 6000;

/** A short message that goes away by itself, unless it is pointed at; with `stay` only when it is dismissed. */
export function tell(message, { stay = false } = {}) {
  const toasts = document.getElementById("toasts");
  const toast = h("div", { class: "toast" }, h("span", {}, message));
  toast.append(h("button", { type: "button", class: "plain", "aria-label": "Dismiss", onclick: () => toast.remove() }, "×"));
  toasts.append(toast);
  while (toasts.children.length > TOASTS_MAX) toasts.firstElementChild.remove();
  const leave = () => (toast.matches(":hover, :focus-within") ? setTimeout(leave, 2000) : toast.remove());
  if (!stay) setTimeout(leave, TOAST_MS);
}

/** A line that says why something did not work, where it was tried. */
export function refusal(error) {
  if (!(error instanceof Refused)) throw error;
  return h("div", { role: "alert", class: "refusal" }, h("p", { class: "error" }, error.message), error.hint && h("p", { class: "hint" }, sentence(error.hint)));
}

/** A button that runs `work`; while it runs it cannot be pressed, and what goes wrong is shown in `errors`. */
export function action(label, work, errors, attributes = {}) {
  const button = h("button", { type: "button", ...attributes, onclick: () => attempt(button, work, errors) }, label);
  return button;
}

/** As `action`, for a button that is there already. Tells whether it worked. */
export async function attempt(button, work, errors) {
  button.disabled = true;
  errors.replaceChildren();
  try {
    await work();
    return true;
  } catch (error) {
    errors.replaceChildren(refusal(error));
    return false;
  } finally {
    button.disabled = false;
  }
}

/** A dialog in front of everything; the function that `content` is given closes it. */
export function dialog(title, content) {
  const element = h("dialog", { "aria-label": title });
  const close = () => element.close();
  element.append(h("div", { class: "row between top" }, h("h2", {}, title), h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: close }, "×")),
    h("div", { class: "body" }, ...content(close)));
  element.addEventListener("close", () => element.remove());
  element.addEventListener("click", (event) => event.target === element && close());
  document.body.append(element);
  element.showModal();
  return element;
}

/** Asks before something that cannot be taken back. `work` runs if the answer is yes. */
export function confirm(title, explanation, label, work) {
  const errors = h("div");
  dialog(title, (close) => [
    h("p", {}, explanation),
    errors,
    h("div", { class: "row end" }, h("button", { type: "button", onclick: close }, "Keep it as it is"), action(label, async () => {
      await work();
      close();
    }, errors, { class: "bad" })),
  ]);
}

/** A button with what it does beside it. */
export function offer(label, explanation, work, errors, attributes = {}) {
  return h("div", { class: "choice" }, h("p", { class: "soft small" }, explanation), action(label, work, errors, attributes));
}

/** Copies a text; says so. */
export async function copy(value) {
  await navigator.clipboard.writeText(value);
  tell("Copied");
}
