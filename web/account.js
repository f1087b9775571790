// Logging in and creating an account.

import { run } from "./api.js";
import { attempt, dialog, tell } from "./ui.js";
import { field, h } from "./dom.js";

/** The form that somebody sees who is not logged in. */
export function account() {
  const user = field("User name", { name: "username", autocomplete: "username", required: true, maxlength: 64, autocapitalize: "none", spellcheck: "false" });
  const password = field("Password", { type: "password", name: "password", autocomplete: "current-password", required: true });
  // Shown when the trackers ask for one.
  const code = field("Registration code", { autocomplete: "off", spellcheck: "false" });
  code.element.classList.add("hidden");
  const errors = h("div");
  const both = () => ({ user: user.input.value.trim(), password: password.input.value });
  const login = h("button", { class: "main" }, "Log in");
  const create = h("button", { type: "button" }, "Create account");
  const form = h("form", { class: "card narrow" }, h("h1", {}, "Welcome"),
    h("p", { class: "soft" }, "Files go from member to member, never through a server. Your password stays on this machine: nobody else can reset it, not even whoever runs the trackers."),
    user.element, password.element, code.element, h("div", { class: "row" }, login, create), errors,
    h("p", { class: "small forgot" }, h("button", { type: "button", class: "link", onclick: () => recover(user.input.value) }, "Forgot your password?")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(login, () => run("login", both()), errors);
  });
  create.addEventListener("click", () => {
    if (!form.reportValidity()) return;
    attempt(create, async () => {
      const more = code.input.value.trim() ? { code: code.input.value.trim() } : {};
      try {
        await run("create_user", { ...both(), ...more });
      } catch (error) {
        if (error.message.includes("registration code")) {
          code.element.classList.remove("hidden");
          // The field is here; a command helps nobody.
          error.hint = "Ask whoever runs the trackers for it.";
        }
        throw error;
      }
      await run("login", both());
    }, errors);
  });
  return { title: "Log in", content: [form] };
}

/** A new password with the recovery code that was written down. */
function recover(name) {
  const user = field("User name", { autocomplete: "username", required: true, value: name, autocapitalize: "none", spellcheck: "false" });
  const code = field("Recovery code", { autocomplete: "off", required: true, autocapitalize: "none", spellcheck: "false" });
  const password = field("New password", { type: "password", autocomplete: "new-password", required: true });
  const errors = h("div");
  const button = h("button", { class: "main" }, "Set the password");
  dialog("Forgot your password?", (close) => {
    const form = h("form", {}, h("p", { class: "soft" }, "With the recovery code that you wrote down you set a new one. Without it nobody can help, and nobody else can get in either."),
      user.element, code.element, password.element, errors, h("div", { class: "row end" }, button));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(button, async () => {
        tell((await run("recover", { user: user.input.value.trim(), code: code.input.value.trim(), new: password.input.value })).message);
        close();
      }, errors);
    });
    return [form];
  });
}
