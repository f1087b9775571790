// What happened by itself lately.

import { h, inPage, sentence, when } from "./dom.js";
import { groupLink } from "./groups.js";
import { List } from "./list.js";
import { state } from "./state.js";

const KIND = { completed: "Finished", left: "Left", decided: "Decision", requested: "Request", stopped: "Stopped", trackers_lost: "No tracker", trackers_back: "Tracker back", tracker_changed: "Tracker", account: "Account", warning: "Warning", share_broken: "Share ended", damaged: "Damaged", repaired: "Repaired", kept_back: "Tracker", forged: "Forged", forked: "Device", given_up: "Lost", unknown_group: "Tracker", later_group: "Tracker", group_name_moved: "Name" };
const GOOD = new Set(["completed", "decided", "requested", "trackers_back", "repaired"]);

/** Those that begin with somebody's or something's name, which is left as it is. */
const NAMES = new Set(["completed", "left", "requested", "stopped", "share_broken", "damaged", "repaired"]);

/** What it says, without the mark that a terminal shows. */
export function plain(notice) {
  const text = inPage(notice.text.replace(/^\[C\] /, ""));
  const named = NAMES.has(notice.kind) || (notice.kind === "decided" && !text.startsWith("you"));
  return named ? text : sentence(text);
}

/** The view. */
export function notices() {
  const list = new List({ label: "Notices", key: (n) => n.id, make: row, kind: "tall" });
  const empty = h("p", { class: "empty" }, "Nothing has happened since the node was started.");
  const draw = () => {
    empty.classList.toggle("hidden", state.notices.length > 0);
    list.showAll([...state.notices].reverse());
  };
  draw();
  return { title: "Notices", content: [h("h1", {}, "Notices"), h("section", { class: "card" }, list.element, empty)], heard: (event) => event === "notice" && draw() };
}

function row(n) {
  const to = n.kind === "requested" ? groupLink(n.group, "requests") : n.kind === "completed" ? "#/downloads" : n.group && n.kind === "decided" ? groupLink(n.group) : null;
  const said = plain(n);
  const words = h("span", { class: "words", title: said }, said);
  const kind = h("span", { class: `tag ${GOOD.has(n.kind) ? "good" : "warn"}` }, KIND[n.kind] ?? n.kind);
  return {
    element: h("li", {}, h("div", { class: "what" }, words, h("span", { class: "sub" }, kind, h("time", { datetime: new Date(n.unix_ms).toISOString() }, when(n.unix_ms)))),
      to && h("a", { class: "button", href: to, "aria-label": `Show what this is about: ${said}` }, "Show")),
    update() {},
  };
}
