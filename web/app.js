// The page: which view is shown, and what events change in it.
//
// A view is a function that answers `{ title, content, heard, close }`: the elements, what it does about an event, and what
// is to be ended with it.

import { Refused, forgetToken, hasToken, listen, read, run } from "./api.js";
import { h, sentence, text } from "./dom.js";
import { account } from "./account.js";
import { detail, downloads } from "./downloads.js";
import { group } from "./group.js";
import { groups } from "./groups.js";
import { notices, plain } from "./notices.js";
import { settings } from "./settings.js";
import { merge, runs, sample, state } from "./state.js";
import { action, refusal, tell } from "./ui.js";

const main = document.getElementById("main");
const LOST_AGAIN_MS = 1500;
const NOTICES_MAX = 200;
/** Notices that are also shown for a moment, whatever is on the screen. */
const LOUD = new Set(["completed", "decided", "requested", "stopped", "trackers_lost", "account", "share_broken", "damaged", "repaired"]);

const VIEWS = [
  [/^#\/downloads$/, downloads],
  [/^#\/download\/([^/]+)\/([^/]+)$/, detail],
  [/^#\/group\/([^/]+)(?:\/(files|members|requests))?$/, group],
  [/^#\/notices$/, notices],
  [/^#\/settings$/, settings],
  [/^/, groups],
];

let current = null;

/** Shows the view that the address names. */
async function show() {
  const hash = location.hash || "#/";
  navigation();
  let view;
  try {
    view = await viewOf(hash);
  } catch (error) {
    view = { title: "Not possible", content: [h("div", { class: "card" }, h("h1", {}, "Not possible"), refusal(error), h("p", {}, h("a", { href: "#/" }, "All groups")))] };
  }
  // Somebody may have gone on meanwhile.
  if ((location.hash || "#/") !== hash) return view.close?.();
  current?.close?.();
  current = view;
  if (hash === "#/notices") state.unread = 0;
  navigation();
  document.title = `${view.title} – Peerage`;
  return main.replaceChildren(...view.content);
}

async function viewOf(hash) {
  if (!hasToken()) {
    state.user = null;
    return locked();
  }
  if (state.user === null) return account();
  const [pattern, view] = VIEWS.find(([pattern]) => pattern.test(hash));
  return view(...pattern.exec(hash).slice(1).map((part) => part && decodeURIComponent(part)));
}

const LINKS = [["#/", "Groups"], ["#/downloads", "Downloads"], ["#/notices", "Notices"], ["#/settings", "Settings"]];
/** Numbers above are not counted out. */
const COUNT_MAX = 99;
const nav = { links: new Map(), built: null };

function navigation() {
  const hash = location.hash || "#/";
  const bar = document.getElementById("nav");
  const who = document.getElementById("who");
  if (nav.built !== state.user) {
    nav.built = state.user;
    nav.links.clear();
    for (const [to, label] of state.user === null ? [] : LINKS) {
      const number = h("span", { class: "count" });
      nav.links.set(to, { number, link: h("a", { href: to }, `${label} `, number) });
    }
    bar.replaceChildren(...[...nav.links.values()].map(({ link }) => link));
    const errors = h("span");
    who.replaceChildren(...(state.user === null ? [] : [h("span", { class: "soft name" }, state.user), action("Log out", logOut, errors, { class: "quiet" }), errors]));
  }
  const numbers = { "#/downloads": state.downloads.filter(runs).length, "#/notices": state.unread };
  const here = /^#\/(downloads|notices|settings)$/.test(hash) ? hash : hash.startsWith("#/download/") ? "#/downloads" : "#/";
  for (const [to, { link, number }] of nav.links) {
    text(number, numbers[to] > COUNT_MAX ? `${COUNT_MAX}+` : numbers[to] ? String(numbers[to]) : "");
    if (to === here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Ends the session, and says what nobody can fetch meanwhile. */
async function logOut() {
  const { hint } = await run("logout");
  if (hint) tell(sentence(hint), { stay: true });
}

function locked() {
  return { title: "Locked", content: [h("div", { class: "card narrow" }, h("h1", {}, "This page is locked"),
    h("p", {}, "Nobody but you may open it, so it takes an address with a key in it. A node that was ended and started again has a new one."),
    h("p", {}, "Run ", h("code", {}, "peerage status"), " in a terminal and open the address that it prints."))] };
}

function heard(event, data) {
  if (event === "session") {
    if (state.user === data.user) return;
    state.user = data.user;
    enter();
    return;
  }
  if (event === "downloads") state.downloads = data;
  else if (event === "moved") merge(data);
  else if (event === "hashing") state.hashing = data;
  else if (event === "notice") notice(data);
  if (event !== "hashing" && event !== "changed") navigation();
  current?.heard?.(event, data);
}

function notice(data) {
  state.notices = [...state.notices, data].slice(-NOTICES_MAX);
  if (location.hash !== "#/notices") state.unread += 1;
  if (LOUD.has(data.kind)) tell(plain(data));
  // Who is let in, or put out, may see other things than before.
  if (data.kind === "decided") show();
}

/** Somebody logged in or out, or the node is there again. */
async function enter() {
  try {
    [state.status, state.notices] = await Promise.all([read("status"), read("notices")]);
    state.user = state.status.user;
  } catch (error) {
    if (error.status === 401) forgetToken();
  }
  state.unread = 0;
  return show();
}

/** What is shown is not what is, and nothing that is pressed works, until the node answers again. */
function lost(is = true) {
  text(document.getElementById("lost"), is ? "The node does not answer. It is tried again every few seconds; what you see may be out of date." : "");
}

async function follow() {
  for (;;) {
    try {
      await listen((event, data) => {
        if (!state.connected) lost(false);
        state.connected = true;
        heard(event, data);
      });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) {
        forgetToken();
        lost(false);
        return show();
      }
    }
    state.connected = false;
    lost();
    await new Promise((again) => setTimeout(again, LOST_AGAIN_MS));
    try {
      await read("status");
      lost(false);
      await enter();
    } catch {
      // The next round tries again.
    }
  }
}

addEventListener("hashchange", () => {
  main.focus();
  scrollTo(0, 0);
  show();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(() => {
  sample();
  current?.heard?.("second");
}, 1000);

await enter();
if (hasToken()) follow();
