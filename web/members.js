// Members with what their owner may do about them, and requests.

import { run } from "./api.js";
import { field, h, text } from "./dom.js";
import { List } from "./list.js";
import { action, confirm, dialog, offer } from "./ui.js";

const ROLE = { owner: "owner", admin: "admin", member: "" };

/** The part of a group's view that lists its members. */
export function members(context) {
  const find = field("Find a member", { type: "search", autocomplete: "off", oninput: () => part.draw() });
  const list = new List({ label: "Members", key: (m) => m.user_id, make: (m) => member(m, context) });
  const empty = h("p", { class: "empty" });
  const close = h("button", { type: "button", class: "bad", onclick: () => end(context) }, "End this group");
  const part = {
    tools: [],
    content: [h("section", { class: "card" }, find.element, list.element, empty), h("div", { class: "row end" }, close)],
    draw() {
      const wanted = find.input.value.trim().toLowerCase();
      const found = context.members.filter((m) => m.user.toLowerCase().includes(wanted));
      text(empty, found.length === 0 ? "Nobody found." : "");
      close.classList.toggle("hidden", context.role !== "owner");
      // The role of who looks decides what a row offers.
      list.showAll(found.map((m) => ({ ...m, manage: manages(context, m) })));
    },
  };
  return part;
}

function manages(context, m) {
  return m.user_id !== context.me.user_id && ((context.role === "owner" && m.role !== "owner") || (context.role === "admin" && m.role === "member"));
}

function member(first, context) {
  const role = h("span", { class: "tag" });
  const forked = h("span", { class: "tag bad", title: "A device of theirs said two things at once: it was copied, set back or stolen" }, "forked device");
  const manage = h("button", { type: "button", "aria-label": `Manage ${first.user}`, onclick: () => actions(row.item, context) }, "Manage");
  const you = first.user_id === context.me.user_id;
  const row = {
    element: h("li", {}, h("div", { class: "what" }, h("span", { class: "name" }, first.user), h("span", { class: "sub" }, you ? "you" : "")), forked, role, manage),
    update(m) {
      text(role, ROLE[m.role]);
      role.classList.toggle("hidden", m.role === "member");
      forked.classList.toggle("hidden", !m.forked);
      manage.classList.toggle("hidden", !m.manage);
    },
  };
  return row;
}

function actions(m, context) {
  const { name } = context;
  const errors = h("div");
  dialog(`Manage ${m.user}`, (close) => {
    const say = (label, explanation, command, attributes) => offer(label, explanation, async () => {
      await run(command, { group: name, user: m.user });
      close();
      await context.again();
    }, errors, attributes);
    const owner = context.role === "owner";
    return [
      owner && m.role === "member" && say("Make admin", "May accept, reject and remove members.", "grant_admin"),
      owner && m.role === "admin" && say("Make a plain member", "What they decided so far stays as it is.", "revoke_admin"),
      owner && say("Hand the group over", "They own it from then on; you stay a plain member.", "hand_over"),
      say("Remove from the group", "Connections with them end at once. What they have received they keep.", "kick", { class: "bad" }),
      errors,
    ].filter(Boolean);
  });
}

function end(context) {
  confirm(`End ${context.name}?`, "It ends for everybody, and its name is free again. Files stay where they lie.", "End it", async () => {
    await run("close_group", { group: context.name });
    location.hash = "#/";
  });
}

/** The part of a group's view that lists who asks to join. */
export function requests(context) {
  const list = new List({ label: "Requests", key: (r) => r.user, make: (r) => request(r, context) });
  const empty = h("p", { class: "empty" });
  return {
    tools: [],
    content: [h("section", { class: "card" }, list.element, empty)],
    draw() {
      text(empty, context.requests.length === 0 ? "No join requests at this time." : "");
      list.showAll(context.requests);
    },
  };
}

function request(r, context) {
  const decide = (command) => async () => {
    await run(command, { group: context.name, user: r.user });
    await context.again();
  };
  return {
    element: h("li", {}, h("div", { class: "what" }, h("span", { class: "name" }, r.user), h("span", { class: "sub" }, "asks to join")),
      action("Reject", decide("reject_request"), context.errors, { "aria-label": `Reject ${r.user}` }),
      action("Accept", decide("accept_request"), context.errors, { class: "main", "aria-label": `Accept ${r.user}` })),
    update() {},
  };
}
