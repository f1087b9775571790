// Files of a group. Only the part of the list that can be seen is fetched: the node searches and sorts.

import { run } from "./api.js";
import { bytes, choice, count, field, h, sentence, text } from "./dom.js";
import { List } from "./list.js";
import { dropZone, share, hashing } from "./share.js";
import { start } from "./start.js";
import { confirm, dialog, offer, refusal } from "./ui.js";

/** Files that are fetched at once. */
const PAGE = 200;
/** Pages that are kept; those looked at longest ago go first. */
const PAGES_MAX = 20;
/** Notices after which a share is not what it was. */
const HEALTH = new Set(["damaged", "repaired", "share_broken"]);
/** How far a look for damage is, is asked again after so many seconds. */
const SCRUB_AGAIN = 2;
const ORDERS = [["name", "Name"], ["size", "Smallest first"], ["-size", "Largest first"], ["-sharers", "Most sharers"], ["sharers", "Fewest sharers"]];

/** A list of files that lies on the node. */
class Pages {
  constructor(group, changed) {
    Object.assign(this, { group, changed, search: "", sort: "name", total: 0, pages: new Map(), coming: new Set(), version: 0, checking: 0 });
  }

  at(i) {
    return this.pages.get(Math.floor(i / PAGE))?.[i % PAGE];
  }

  /** Fetches what is missing. */
  want(from, to) {
    for (let page = Math.floor(from / PAGE); page <= Math.floor(Math.max(from, to - 1) / PAGE); page += 1) {
      if (!this.pages.has(page) && !this.coming.has(page)) this.load(page).catch(() => {});
    }
  }

  async load(page) {
    const { version } = this;
    this.coming.add(page);
    try {
      const reverse = this.sort.startsWith("-");
      const reply = await run("list_files", { group: this.group, search: this.search, sort: this.sort.replace("-", ""), reverse, from: page * PAGE, limit: PAGE });
      if (version !== this.version) return;
      this.total = reply.total;
      this.pages.delete(page);
      this.pages.set(page, reply.items);
      while (this.pages.size > PAGES_MAX) this.pages.delete(this.pages.keys().next().value);
      this.changed();
    } finally {
      this.coming.delete(page);
    }
  }

  /** Other files are wanted, or in another order. */
  async choose(search, sort) {
    this.version += 1;
    this.coming.clear();
    this.pages.clear();
    Object.assign(this, { search, sort });
    await this.load(0);
  }

  /** Whether any that was seen is being looked through for damage. */
  scrubs() {
    return [...this.pages.values()].some((files) => files.some((f) => f.scrub_percent !== null));
  }

  /** The group's files have changed: what was seen stays until the new ones are here. */
  async refresh() {
    const last = [...this.pages.keys()].slice(-2);
    for (const page of this.pages.keys()) if (!last.includes(page)) this.pages.delete(page);
    await Promise.all((last.length ? last : [0]).map((page) => this.load(page)));
  }
}

/** The part of a group's view that lists its files. */
export async function files(context) {
  const { name, errors } = context;
  const pages = new Pages(name, () => part.draw());
  // One search at a time; what was typed meanwhile is looked for when it has ended.
  let choosing = false;
  let again = false;
  const choose = async () => {
    again = choosing;
    if (choosing) return;
    choosing = true;
    try {
      await pages.choose(find.input.value.trim(), order.input.value);
      errors.replaceChildren();
    } catch (error) {
      // What is listed is not what was looked for: that is said, and typing tries again.
      if (!again) errors.replaceChildren(refusal(error));
    } finally {
      choosing = false;
    }
    if (again) choose();
  };
  const find = field("Find a file", { type: "search", autocomplete: "off", oninput: choose });
  const order = choice("Order", ORDERS, { onchange: choose });
  const looking = h("div", { class: "row" }, find.element, order.element);
  const list = new List({ label: "Files", key: (f) => f.name, make: (f) => row(f, name, pages), kind: "files" });
  const empty = h("p", { class: "empty" });
  const number = h("p", { class: "soft small", role: "status" });
  const zone = dropZone(name);
  const making = h("div", { role: "status", class: "making" }, ...hashing());
  let age = 0;
  const part = {
    tools: [h("button", { type: "button", class: "main", onclick: () => share(name) }, "Share")],
    content: [h("section", { class: "card" }, looking, making, number, list.element, empty), zone.hint],
    draw() {
      const searching = find.input.value.trim() !== "";
      text(empty, pages.total > 0 ? "" : searching ? "Nothing found." : "No files in the group at this time. Share the first one: it stays where it is, members fetch it from this machine.");
      looking.classList.toggle("hidden", pages.total === 0 && !searching);
      text(number, pages.total > 0 ? count(pages.total, "file") : "");
      list.show(pages.total, (i) => pages.at(i), (from, to) => pages.want(from, to));
    },
    refresh: () => pages.refresh(),
    heard(event, data) {
      if (event === "hashing") making.replaceChildren(...hashing());
      if (event === "notice" && HEALTH.has(data.kind)) pages.refresh().catch(() => {});
      age = event === "second" ? age + 1 : age;
      if (age >= SCRUB_AGAIN) {
        age = 0;
        if (pages.checking > 0 || pages.scrubs()) pages.refresh().catch(() => {});
      }
    },
    close: zone.close,
  };
  await pages.choose("", ORDERS[0][0]);
  return part;
}

function row(first, group, pages) {
  const name = h("span", { class: "name", title: first.name }, first.name);
  const tag = h("span", { class: "tag" });
  const facts = h("span", { class: "cut" });
  const get = h("button", { type: "button", "aria-label": `Download ${first.name}`, onclick: () => start(group, row.item) }, "Download");
  const own = h("button", { type: "button", "aria-label": `Manage ${first.name}`, onclick: () => manage(group, row.item, pages) }, "Manage");
  const row = {
    element: h("li", {}, h("div", { class: "what" }, name, h("span", { class: "sub tagged" }, tag, facts)), get, own),
    update(f) {
      const [said, mood] = health(f);
      const online = f.sharers_online > 0 && f.last_holder !== true ? `${f.sharers_online} of ${count(f.sharers, "sharer")} online` : "";
      const scrub = f.scrub_percent !== null && `looking for damage, ${f.scrub_percent} %`;
      text(facts, [bytes(f.size), f.files !== null && count(f.files, "file"), scrub, online].filter(Boolean).join(" · "));
      text(tag, said);
      tag.className = `tag ${mood} ${said ? "" : "hidden"}`;
      get.classList.toggle("hidden", f.mine);
      get.disabled = f.sharers_online === 0;
      own.classList.toggle("hidden", !f.mine);
    },
  };
  return row;
}

/** What matters most about a file, and how good that is. */
function health(f) {
  if (f.damaged) return ["damaged, being repaired", "bad"];
  if (f.last_holder === true) return ["only you are online", "warn"];
  if (f.mine) return ["yours", "good"];
  return f.sharers_online === 0 ? ["nobody online", "bad"] : ["", ""];
}

/** What may be done about a file that this device shares. */
function manage(group, file, pages) {
  const errors = h("div");
  const said = h("div", { role: "status" });
  dialog(file.name, (close) => [
    offer("Check it", `Reads all ${bytes(file.size)} again, to find what went bad on the disk and have it repaired from other members.`, async () => {
      said.replaceChildren(h("p", { class: "soft" }, "Reading …"));
      pages.checking += 1;
      try {
        const { message, hint } = await run("scrub", { group, file: file.name });
        said.replaceChildren(h("div", { class: hint ? "remark warn" : "remark good" }, h("p", {}, message), hint && h("p", { class: "small" }, sentence(hint))));
      } catch (error) {
        said.replaceChildren();
        throw error;
      } finally {
        pages.checking -= 1;
      }
      await pages.refresh();
    }, errors),
    offer("Stop sharing", "The file itself stays where it is.", () => {
      close();
      stopSharing(group, file, pages);
    }, errors, { class: "bad" }),
    said,
    errors,
  ]);
}

function stopSharing(group, file, pages) {
  const what = file.last_holder === true ? "You are the only one online who has it: nobody can fetch it then. The file itself stays where it is." : "Others still share it. The file itself stays where it is.";
  confirm(`Stop sharing ${file.name}?`, what, "Stop sharing", async () => {
    await run("stop_share", { group, file: file.name });
    await pages.refresh();
  });
}
