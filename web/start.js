// Starting a download: where to, and of a folder which files.

import { run } from "./api.js";
import { bytes, count, field, h, text, tick } from "./dom.js";
import { choosePath } from "./share.js";
import { downloadFolder, setDownloadFolder } from "./state.js";
import { attempt, dialog, refusal, tell } from "./ui.js";

/** The dialog. */
export function start(group, file) {
  const folder = field("Download to", { value: downloadFolder(), autocomplete: "off", required: true, spellcheck: "false" });
  const choose = h("button", { type: "button", onclick: () => choosePath({ title: "Download to", label: "Folder", button: "Use this folder", folders: true, from: folder.input.value,
    done: async (path) => {
      folder.input.value = path;
    } }) }, "Choose");
  const preview = tick("Fetch the beginning and end of each file first, for a preview");
  const existing = tick("Overwrite other files that have the same names there");
  const errors = h("div");
  const button = h("button", { class: "main" }, "Start");
  const picked = file.files === null ? null : picker(group, file, button);
  dialog(`Download ${file.name}`, (close) => {
    const form = h("form", {}, h("p", { class: "soft" }, `${bytes(file.size)} from ${count(file.sharers_online, "member")} online`), h("div", { class: "row" }, folder.element, h("div", { class: "field fit" }, choose)),
      preview.element, existing.element, picked?.element, errors, h("div", { class: "row end" }, button));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const started = await attempt(button, async () => {
        const destination = folder.input.value.trim();
        await run("download_file", { group, file: file.name, destination, only: picked?.chosen() ?? [], preview: preview.input.checked, "into-existing": existing.input.checked });
        setDownloadFolder(destination);
      }, errors);
      if (!started) return;
      close();
      tell(`Download started: ${file.name}`);
    });
    return [form];
  });
}

/** Which files of a folder. */
function picker(group, file, button) {
  let all = [];
  let found = [];
  const out = new Set();
  const find = field("Find in this folder", { type: "search", autocomplete: "off", oninput: () => draw() });
  const number = h("p", { class: "soft small", role: "status" });
  const list = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Files of the folder" });
  const element = h("fieldset", {}, h("legend", {}, "Files"), find.element, h("div", { class: "row between" }, number, h("div", { class: "row" },
    h("button", { type: "button", class: "small", onclick: () => set(true) }, "All of these"), h("button", { type: "button", class: "small", onclick: () => set(false) }, "None of these"))), list);
  const SHOWN_MAX = 200;
  const say = () => {
    const chosen = all.filter((f) => !out.has(f.path));
    text(number, `${count(chosen.length, "file")} of ${all.length.toLocaleString("en")}, ${bytes(chosen.reduce((sum, f) => sum + f.size, 0))}`);
    button.disabled = chosen.length === 0;
  };
  const draw = () => {
    const wanted = find.input.value.trim().toLowerCase();
    found = all.filter((f) => f.path.toLowerCase().includes(wanted));
    list.replaceChildren(...found.slice(0, SHOWN_MAX).map((f) => {
      const box = tick(f.path, { checked: !out.has(f.path), onchange: (event) => {
        if (event.target.checked) out.delete(f.path);
        else out.add(f.path);
        say();
      } });
      box.element.append(h("span", { class: "soft small" }, bytes(f.size)));
      return box.element;
    }));
    if (found.length > SHOWN_MAX) list.append(h("p", { class: "soft small" }, `${SHOWN_MAX} of ${found.length} shown; search to see others.`));
    say();
  };
  const set = (chosen) => {
    for (const f of found) {
      if (chosen) out.delete(f.path);
      else out.add(f.path);
    }
    draw();
  };
  button.disabled = true;
  run("list_folder", { group, file: file.name }).then((reply) => {
    all = reply.items;
    draw();
  }, (error) => list.replaceChildren(refusal(error)));
  // A slash at the beginning: exactly this path, from the top.
  return { element, chosen: () => (out.size === 0 ? [] : all.filter((f) => !out.has(f.path)).map((f) => `/${f.path}`)) };
}
