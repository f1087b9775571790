// The page: which view is shown, and what events change in it.

import { Refused, hasToken, listen, run, status } from "./api.js";
import { h } from "./dom.js";
import { account } from "./account.js";
import { downloads, drawDownloads } from "./downloads.js";
import { group, groups } from "./groups.js";

/** What events told last. */
export const state = { user: null, downloads: [], hashing: [], connected: false };

const main = document.getElementById("main");
const LOST_AGAIN_MS = 1500;

/** A short message that goes away by itself, unless it is pointed at. */
export function tell(text) {
  const notice = h("div", { class: "notice" }, h("span", {}, text));
  notice.append(h("button", { "aria-label": "Dismiss", onclick: () => notice.remove() }, "×"));
  document.getElementById("notices").append(notice);
  const leave = () => (notice.matches(":hover, :focus-within") ? setTimeout(leave, 2000) : notice.remove());
  setTimeout(leave, 8000);
}

/** A line that says why something did not work, where it was tried. */
export function refusal(error) {
  if (!(error instanceof Refused)) throw error;
  return h("div", { role: "alert" }, h("p", { class: "error" }, error.message), error.hint && h("p", { class: "hint" }, error.hint));
}

/** A button that runs `work`; while it runs it cannot be pressed, and what goes wrong is shown in `errors`. */
export function action(label, work, errors, attributes = {}) {
  const button = h("button", { type: "button", ...attributes, onclick: () => attempt(button, work, errors) }, label);
  return button;
}

/** As `action`, for a button that is there already. */
export async function attempt(button, work, errors) {
  button.disabled = true;
  errors.replaceChildren();
  try {
    await work();
  } catch (error) {
    errors.replaceChildren(refusal(error));
  } finally {
    button.disabled = false;
  }
}

const VIEWS = [
  [/^#\/downloads$/, () => downloads()],
  [/^#\/group\/([^/]+)(?:\/(files|members|requests))?$/, (name, tab) => group(decodeURIComponent(name), tab ?? "files")],
  [/^/, () => groups()],
];

/** Shows the view that the address names. */
export async function show() {
  const hash = location.hash || "#/";
  navigation(hash);
  if (!hasToken()) return main.replaceChildren(locked());
  if (state.user === null) return main.replaceChildren(account());
  for (const [pattern, view] of VIEWS) {
    const found = pattern.exec(hash);
    if (!found) continue;
    try {
      const content = await view(...found.slice(1));
      if ((location.hash || "#/") === hash) main.replaceChildren(...content);
    } catch (error) {
      main.replaceChildren(h("div", { class: "card" }, refusal(error), h("p", {}, h("a", { href: "#/" }, "All groups"))));
    }
    return undefined;
  }
  return undefined;
}

function navigation(hash) {
  const link = (to, text, here) => h("a", { href: to, "aria-current": here && "page" }, text);
  const running = state.downloads.filter((d) => d.state === "D").length;
  const nav = document.getElementById("nav");
  const who = document.getElementById("who");
  if (state.user === null) {
    nav.replaceChildren();
    return who.replaceChildren();
  }
  const atDownloads = hash === "#/downloads";
  nav.replaceChildren(link("#/", "Groups", !atDownloads), link("#/downloads", running ? `Downloads (${running})` : "Downloads", atDownloads));
  const errors = h("span");
  const out = action("Log out", () => run("logout"), errors);
  return who.replaceChildren(h("span", { class: "soft" }, state.user), out, errors);
}

function locked() {
  return h("div", { class: "card narrow" }, h("h1", {}, "This page is locked"),
    h("p", {}, "Open it with the address that ", h("code", {}, "peerage status"), " prints in a terminal."));
}

function heard(event, data) {
  if (event === "session") {
    const changed = state.user !== data.user;
    state.user = data.user;
    if (changed) show();
  } else if (event === "downloads") {
    state.downloads = data;
    navigation(location.hash || "#/");
    drawDownloads(data);
  } else if (event === "hashing") {
    state.hashing = data;
    const line = document.getElementById("hashing");
    if (line) line.replaceChildren(...hashingLines());
  } else if (event === "notice") {
    tell(data.text);
    if (data.kind === "decided" || data.kind === "completed") show();
  }
}

/** One line for each file that is being made ready. */
export function hashingLines() {
  return state.hashing.map((f) => h("p", { class: "small" }, `Reading ${f.path} `,
    h("progress", { max: f.total || 1, value: f.done, "aria-label": `Reading ${f.path}` })));
}

async function follow() {
  for (;;) {
    try {
      await listen(heard);
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        sessionStorage.clear();
        show();
        return;
      }
    }
    if (state.connected) tell("The node does not answer; trying again");
    state.connected = false;
    await new Promise((again) => setTimeout(again, LOST_AGAIN_MS));
    try {
      state.user = (await status()).user;
      state.connected = true;
      show();
    } catch {
      // The next round tries again.
    }
  }
}

addEventListener("hashchange", () => {
  main.focus();
  show();
});

async function begin() {
  if (!hasToken()) return show();
  try {
    state.user = (await status()).user;
    state.connected = true;
  } catch (error) {
    if (error.status === 401) sessionStorage.clear();
  }
  show();
  return follow();
}

begin();

