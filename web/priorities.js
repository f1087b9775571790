// Files of a folder that is being downloaded: which come first, last, or not at all.

import { run } from "./api.js";
import { bytes, count, field, h, text } from "./dom.js";
import { refusal } from "./ui.js";

const WORDS = { high: "First", normal: "Normal", low: "Last", skip: "Leave out" };
/** Files that are shown; search leads to the others. */
const SHOWN_MAX = 200;

/** The part of a download's view that lists them; hidden when the download is complete. */
export function priorities(download) {
  const named = { group: download.group, file: download.name };
  let all = [];
  const errors = h("div");
  const find = field("Find in this folder", { type: "search", autocomplete: "off", oninput: () => draw() });
  const each = h("select", { "aria-label": "Order of all that are listed", onchange: (event) => give(event.target, found(), event.target.value) },
    h("option", { value: "" }, "Set all to …"), options());
  const number = h("p", { class: "soft small", role: "status" });
  const list = h("ul", { class: "list free wanted", "aria-label": "Files of the folder" });
  const element = h("section", { class: "card" }, h("h2", {}, "Files"), h("div", { class: "row" }, find.element, h("div", { class: "field" }, each)), number, errors, list);
  const rows = new Map();
  const found = () => {
    const wanted = find.input.value.trim().toLowerCase();
    return all.filter((f) => f.path.toLowerCase().includes(wanted));
  };
  const load = async () => {
    all = (await run("list_folder", named)).items;
    draw();
  };
  const give = async (select, files, priority) => {
    if (priority === "") return;
    errors.replaceChildren();
    select.disabled = true;
    try {
      // A slash at the beginning: exactly this path, from the top.
      await run("set_priority", { ...named, priority, only: files.length === all.length ? [] : files.map((f) => `/${f.path}`) });
    } catch (error) {
      errors.replaceChildren(refusal(error));
    }
    select.disabled = false;
    each.value = "";
    await load().catch((error) => errors.replaceChildren(refusal(error)));
  };
  const row = (f) => {
    const choice = h("select", { "aria-label": `Order of ${f.path}`, onchange: () => give(choice, [f], choice.value) }, options());
    return { choice, element: h("li", {}, h("div", { class: "what" }, h("span", { class: "name path" }, f.path), h("span", { class: "sub" }, bytes(f.size))), choice) };
  };
  const draw = () => {
    const files = found();
    const shown = files.slice(0, SHOWN_MAX);
    const out = all.filter((f) => f.priority === "skip").length;
    text(number, [count(files.length, "file"), files.length > SHOWN_MAX && `the first ${SHOWN_MAX} are shown`, out > 0 && `${out} of all left out`].filter(Boolean).join(", "));
    for (const f of shown) {
      if (!rows.has(f.path)) rows.set(f.path, row(f));
      rows.get(f.path).choice.value = f.priority ?? "normal";
    }
    const wanted = shown.map((f) => rows.get(f.path).element);
    if (wanted.length !== list.children.length || wanted.some((li, i) => li !== list.children[i])) list.replaceChildren(...wanted);
  };
  let selected = null;
  load().catch((error) => errors.replaceChildren(refusal(error)));
  return {
    element,
    draw(now) {
      element.classList.toggle("hidden", now.state === "C");
      // Somebody may have chosen others in a terminal.
      if (selected !== null && selected !== now.files_selected) load().catch(() => {});
      selected = now.files_selected;
    },
  };
}

function options() {
  return Object.entries(WORDS).map(([value, label]) => h("option", { value }, label));
}
