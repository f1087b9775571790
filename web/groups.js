// Groups: all of them, and one with its files, members and requests.

import { run } from "./api.js";
import { action, attempt, hashingLines, show, tell } from "./app.js";
import { bytes, count, field, h } from "./dom.js";

/** Longest list that is drawn at once; the search narrows it down. */
const ROWS_MAX = 300;
const WORD = { owner: "owner", member: "member", requested: "asked to join" };

/** All groups, one's own first. */
export async function groups() {
  const all = (await run("list_groups")).items;
  const rank = { owner: 0, member: 0, requested: 1, none: 2 };
  all.sort((a, b) => rank[a.standing] - rank[b.standing] || a.group.localeCompare(b.group));
  const errors = h("div");
  const name = field("New group", { maxlength: 64, autocomplete: "off", required: true });
  const create = h("button", { class: "main" }, "Create group");
  const form = h("form", { class: "row" }, name.element, h("div", { class: "field" }, create));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(create, async () => {
      await run("create_group", { group: name.input.value.trim() });
      location.hash = groupLink(name.input.value.trim());
    }, errors);
  });
  const row = (g) => {
    const mine = g.standing === "owner" || g.standing === "member";
    const title = mine ? h("a", { href: groupLink(g.group) }, g.group) : g.group;
    const ask = () => run("join_group", { group: g.group }).then(() => show());
    return h("li", {}, h("span", { class: "name" }, title), h("span", { class: "soft small figures" }, count(g.members, "member")),
      WORD[g.standing] ? h("span", { class: mine ? "tag good" : "tag" }, WORD[g.standing]) : action("Ask to join", ask, errors));
  };
  return [h("h1", {}, "Groups"), h("section", { class: "card" }, searchable(all, (g) => g.group, row, "No groups at this time. Create the first one.", "Find a group")),
    h("section", { class: "card" }, form, errors)];
}

/** One group. */
export async function group(name, tab) {
  const members = (await run("list_members", { group: name })).items;
  const me = (await run("whoami")).items[0];
  const role = members.find((m) => m.user_id === me.user_id)?.role ?? "member";
  const decides = role === "owner" || role === "admin";
  const asking = decides ? (await run("list_requests", { group: name })).items : [];
  const link = (to, text) => h("a", { href: `${groupLink(name)}/${to}`, "aria-current": to === tab && "page" }, text);
  const tabs = h("nav", { class: "tabs", "aria-label": "Group" }, link("files", "Files"), link("members", `Members (${members.length})`),
    decides && link("requests", `Requests (${asking.length})`));
  const errors = h("div");
  const content = { files: () => files(name, errors), members: () => memberList(name, members, me, role, errors), requests: () => requests(name, asking, errors) };
  return [h("h1", {}, name), tabs, ...(await content[tab]()), errors];
}

async function files(name, errors) {
  const all = (await run("list_files", { group: name })).items;
  const folder = field("Download to", { value: localStorage.getItem("folder") ?? ".", autocomplete: "off" });
  const path = field("Path of a file on this machine", { autocomplete: "off", required: true, spellcheck: "false" });
  const share = h("button", { class: "main" }, "Share");
  const form = h("form", { class: "row" }, path.element, h("div", { class: "field" }, share));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(share, async () => {
      await run("upload_file", { path: path.input.value, group: name });
      tell("Shared. Nothing was uploaded: members get it from this machine.");
      show();
    }, errors);
  });
  const get = async (file) => {
    localStorage.setItem("folder", folder.input.value);
    const reply = await run("download_file", { group: name, file, destination: folder.input.value });
    tell(reply.next ?? reply.message);
  };
  const row = (f) => h("li", {}, h("span", { class: "name" }, f.name), h("span", { class: "soft small figures" }, bytes(f.size)),
    h("span", { class: f.sharers_online ? "tag good" : "tag bad" }, f.sharers_online ? count(f.sharers_online, "sharer") + " online" : "nobody online"),
    action("Download", () => get(f.name), errors, { "aria-label": `Download ${f.name}`, disabled: !f.sharers_online }));
  return [h("section", { class: "card" }, searchable(all, (f) => f.name, row, "No files in the group at this time. Share the first one.", "Find a file"), all.length > 0 && folder.element),
    h("section", { class: "card" }, form, h("div", { id: "hashing", role: "status" }, ...hashingLines()))];
}

function memberList(name, members, me, role, errors) {
  const kick = (m) => run("kick", { group: name, user: m.user }).then(() => show());
  const may = (m) => m.user_id !== me.user_id && ((role === "owner" && m.role !== "owner") || (role === "admin" && m.role === "member"));
  const row = (m) => h("li", {}, h("span", { class: "name" }, m.user), h("span", { class: "tag" }, m.role), m.forked && h("span", { class: "tag bad" }, "forked device"),
    may(m) && action("Remove", () => kick(m), errors, { class: "bad", "aria-label": `Remove ${m.user}` }));
  return [h("section", { class: "card" }, searchable(members, (m) => m.user, row, "Nobody is here.", "Find a member"))];
}

function requests(name, asking, errors) {
  const decide = (command, user) => run(command, { group: name, user }).then(() => show());
  const row = (r) => h("li", {}, h("span", { class: "name" }, r.user),
    action("Accept", () => decide("accept_request", r.user), errors, { class: "main", "aria-label": `Accept ${r.user}` }),
    action("Reject", () => decide("reject_request", r.user), errors, { "aria-label": `Reject ${r.user}` }));
  return [h("section", { class: "card" }, searchable(asking, (r) => r.user, row, "No join requests at this time.", "Find a request"))];
}

/** A list with a search field when it is long. */
function searchable(all, text, row, empty, label) {
  if (all.length === 0) return h("p", { class: "empty" }, empty);
  const list = h("ul", { class: "list" });
  const more = h("p", { class: "soft small" });
  const draw = (wanted) => {
    const found = wanted ? all.filter((item) => text(item).toLowerCase().includes(wanted)) : all;
    list.replaceChildren(...found.slice(0, ROWS_MAX).map(row));
    more.textContent = found.length > ROWS_MAX ? `${ROWS_MAX} of ${found.length} shown; search to narrow them down.` : found.length === 0 ? "Nothing found." : "";
  };
  draw("");
  if (all.length <= 8) return h("div", {}, list);
  const find = field(label, { type: "search", autocomplete: "off", oninput: (event) => draw(event.target.value.trim().toLowerCase()) });
  return h("div", {}, find.element, list, more);
}

function groupLink(name) {
  return `#/group/${encodeURIComponent(name)}`;
}
