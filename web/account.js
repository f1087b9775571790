// Logging in and creating an account.

import { run } from "./api.js";
import { attempt } from "./ui.js";
import { field, h } from "./dom.js";

/** The form that somebody sees who is not logged in. */
export function account() {
  const user = field("User name", { name: "username", autocomplete: "username", required: true, maxlength: 64, autocapitalize: "none", spellcheck: "false" });
  const password = field("Password", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const errors = h("div");
  const both = () => ({ user: user.input.value.trim(), password: password.input.value });
  const login = h("button", { class: "main" }, "Log in");
  const create = h("button", { type: "button" }, "Create account");
  const form = h("form", { class: "card narrow" }, h("h1", {}, "Welcome"),
    h("p", { class: "soft" }, "Files go from member to member, never through a server. Your password stays on this machine; nobody can reset it, not even who runs the trackers."),
    user.element, password.element, h("div", { class: "row" }, login, create), errors);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(login, () => run("login", both()), errors);
  });
  create.addEventListener("click", () => {
    if (!form.reportValidity()) return;
    attempt(create, async () => {
      await run("create_user", both());
      await run("login", both());
    }, errors);
  });
  return { title: "Log in", content: [form] };
}
