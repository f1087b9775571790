// All groups, one's own first.

import { run } from "./api.js";
import { count, field, h, text } from "./dom.js";
import { List } from "./list.js";
import { action, attempt, dialog, tell } from "./ui.js";

const RANK = { owner: 0, member: 0, requested: 1, none: 2 };
const WORD = { owner: "you own it", member: "you are in it", requested: "asked to join", none: "" };
/** Groups that others make are looked for so often, in seconds. */
const LOOK = 10;

/** The address of a group. */
export function groupLink(name, tab = "files") {
  return `#/group/${encodeURIComponent(name)}/${tab}`;
}

/** The view. */
export async function groups() {
  const errors = h("div");
  let all = [];
  const find = field("Find a group", { type: "search", autocomplete: "off", oninput: () => draw() });
  const list = new List({ label: "Groups", key: (g) => g.group, make: (g) => row(g, refresh, errors) });
  const empty = h("p", { class: "empty" });
  const draw = () => {
    const wanted = find.input.value.trim().toLowerCase();
    const found = wanted ? all.filter((g) => g.group.toLowerCase().includes(wanted)) : all;
    text(empty, all.length === 0 ? "No groups at this time. Create the first one, or paste an invite." : found.length === 0 ? "Nothing found." : "");
    find.element.classList.toggle("hidden", all.length === 0);
    list.showAll(found);
  };
  const refresh = async () => {
    all = (await run("list_groups")).items;
    all.sort((a, b) => RANK[a.standing] - RANK[b.standing] || a.group.localeCompare(b.group));
    draw();
  };
  await refresh();
  let age = 0;
  return {
    title: "Groups",
    content: [
      h("div", { class: "row between head" }, h("h1", {}, "Groups"), h("div", { class: "row" },
        h("button", { type: "button", onclick: paste }, "Join with an invite"), h("button", { type: "button", class: "main", onclick: create }, "New group"))),
      h("section", { class: "card" }, find.element, list.element, empty, errors),
    ],
    heard(event) {
      age = event === "second" ? age + 1 : age;
      const own = event === "changed" || event === "notice";
      if (own || (age >= LOOK && !document.hidden)) {
        age = 0;
        refresh().catch(() => {});
      }
    },
  };
}

function row(first, refresh, errors) {
  const link = h("a", { href: groupLink(first.group), class: "stretch" }, first.group);
  const plain = h("span", {}, first.group);
  const sub = h("span", { class: "sub" });
  const asks = h("a", { class: "button good above", href: groupLink(first.group, "requests") });
  const join = action("Ask to join", async () => {
    await run("join_group", { group: first.group });
    await refresh();
  }, errors, { class: "above" });
  const name = h("span", { class: "name" });
  const element = h("li", {}, h("div", { class: "what" }, name, sub), asks, join);
  return {
    element,
    update(g) {
      const mine = g.standing === "owner" || g.standing === "member";
      name.replaceChildren(mine ? link : plain);
      text(sub, [count(g.members, "member"), WORD[g.standing]].filter(Boolean).join(" · "));
      text(asks, g.requests ? count(g.requests, "request") : "");
      asks.classList.toggle("hidden", !g.requests);
      join.classList.toggle("hidden", g.standing !== "none");
      join.setAttribute("aria-label", `Ask to join ${g.group}`);
    },
  };
}

function create() {
  const name = field("Name of the group", { maxlength: 64, autocomplete: "off", required: true, autocapitalize: "none" });
  const errors = h("div");
  const button = h("button", { class: "main" }, "Create group");
  dialog("New group", (close) => {
    const form = h("form", {}, h("p", { class: "soft" }, "Letters, digits, dots, hyphens and underscores. You own it and decide who comes in."), name.element, errors, h("div", { class: "row end" }, button));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(button, async () => {
        await run("create_group", { group: name.input.value.trim() });
        close();
        location.hash = groupLink(name.input.value.trim());
      }, errors);
    });
    return [form];
  });
}

function paste() {
  const invite = field("Invite", { autocomplete: "off", required: true, placeholder: "peerage:…", spellcheck: "false" });
  const errors = h("div");
  const button = h("button", { class: "main" }, "Join");
  dialog("Join with an invite", (close) => {
    const form = h("form", {}, h("p", { class: "soft" }, "Paste the line that a member sent you."), invite.element, errors, h("div", { class: "row end" }, button));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(button, async () => {
        tell((await run("join", { invite: invite.input.value.trim() })).message);
        close();
        dispatchEvent(new HashChangeEvent("hashchange"));
      }, errors);
    });
    return [form];
  });
}
