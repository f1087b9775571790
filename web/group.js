// One group: its files, members and requests.

import { run } from "./api.js";
import { h, text } from "./dom.js";
import { files } from "./files.js";
import { groupLink } from "./groups.js";
import { invite } from "./invite.js";
import { members, requests } from "./members.js";
import { confirm, tell } from "./ui.js";

/** Who is online may change many times a second; it is looked at again after so many seconds at least. */
const ONLINE_AGAIN = 2;

/** The view; `tab` is `files`, `members` or `requests`. */
export async function group(name, tab = "files") {
  const me = (await run("whoami")).items[0];
  const context = { name, me, members: [], requests: [], role: "member", errors: h("div") };
  const look = async (what) => {
    if (what !== "requests") {
      context.members = (await run("list_members", { group: name })).items;
      context.role = context.members.find((m) => m.user_id === me.user_id)?.role ?? "member";
    }
    context.decides = context.role === "owner" || context.role === "admin";
    context.requests = context.decides ? (await run("list_requests", { group: name })).items : [];
  };
  await look("all");
  context.again = async () => {
    await look("all");
    draw();
  };
  const links = ["files", "members", "requests"].map((to) => h("a", { href: groupLink(name, to), "aria-current": to === tab && "page" }));
  const part = await { files, members, requests }[tab](context);
  const draw = () => {
    text(links[0], "Files");
    text(links[1], `Members (${context.members.length})`);
    text(links[2], `Requests (${context.requests.length})`);
    links[2].classList.toggle("hidden", !context.decides);
    part.draw();
  };
  draw();
  let waits = false;
  let age = 0;
  const refresh = async (what) => {
    try {
      if (what !== "files" && what !== "online") await look(what);
      if (what === "files" || what === "online" || what === "all") await part.refresh?.();
      draw();
    } catch {
      // The next change, or whoever acts, will see.
    }
  };
  return {
    title: name,
    content: [
      h("nav", { class: "trail", "aria-label": "Where you are" }, h("a", { href: "#/" }, "Groups")),
      h("div", { class: "row between head" }, h("h1", {}, name), h("div", { class: "row" },
        h("button", { type: "button", class: "quiet", onclick: () => leave(name, context) }, "Leave"),
        h("button", { type: "button", onclick: () => invite(name, context.decides) }, "Invite"), ...part.tools)),
      h("nav", { class: "tabs", "aria-label": "Group" }, links),
      ...part.content, context.errors,
    ],
    heard(event, data) {
      part.heard?.(event, data);
      if (event === "changed" && (data.group === null || data.group.toLowerCase() === name.split("#")[0].toLowerCase())) {
        if (data.what === "online") waits = true;
        else refresh(data.what);
      }
      age = event === "second" ? age + 1 : age;
      if (waits && age >= ONLINE_AGAIN) {
        [waits, age] = [false, 0];
        refresh("online");
      }
    },
    close: () => part.close?.(),
  };
}

function leave(name, context) {
  const alone = context.members.length === 1;
  const owner = context.role === "owner";
  const what = alone ? "You are the only one in it, so the group ends and its name is free again." : owner ? "The member who came first owns it then. What you share in it is no longer offered." : "What you share in it is no longer offered. You can ask to come back.";
  confirm(`Leave ${name}?`, what, "Leave", async () => {
    tell((await run("leave_group", { group: name })).message);
    location.hash = "#/";
  });
}
