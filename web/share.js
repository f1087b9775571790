// Sharing in place. A file is not uploaded, so the node has to know where it lies; a browser never says where a dropped file
// lies. So a path is chosen from what the node shows of its user's home folder, and a dropped file is looked for there.

import { ask, run } from "./api.js";
import { bytes, field, h, text } from "./dom.js";
import { state } from "./state.js";
import { attempt, dialog, refusal, tell } from "./ui.js";

/** One line for each file that is being made ready. */
export function hashing() {
  return state.hashing.map((f) => h("p", { class: "small" }, `Reading ${f.path} `,
    h("progress", { max: f.total || 1, value: f.done, "aria-label": `Reading ${f.path}` })));
}

/** Chooses a file or folder to share. */
export function share(group) {
  choosePath({ title: `Share with ${group}`, label: "Path on this machine", button: "Share", folders: false,
    note: "Nothing is uploaded: members fetch it from this machine. A folder is shared as a whole.",
    done: (path) => give(path, group) });
}

async function give(path, group) {
  const reply = await run("upload_file", { path, group });
  tell(reply.hint ? `Shared. ${reply.hint}` : "Shared. Members fetch it from this machine.");
}

/** A dialog that leads through the folders of this machine. `done(path)` may refuse. */
export function choosePath({ title, label, button, folders, note, done, from }) {
  const path = field(label, { autocomplete: "off", required: true, spellcheck: "false", value: from ?? "" });
  const errors = h("div");
  const trouble = h("div");
  const use = h("button", { class: "main" }, button);
  const here = h("p", { class: "soft small here" });
  const up = h("button", { type: "button", class: "small" }, "Up");
  const list = h("ul", { class: "places", "aria-label": "What is in this folder" });
  let parent = null;
  const join = (folder, name) => (folder.endsWith("/") ? folder + name : `${folder}/${name}`);
  const look = async (folder) => {
    trouble.replaceChildren();
    try {
      const found = await ask("folder", folder ? { path: folder } : {});
      parent = found.parent;
      up.disabled = parent === null;
      text(here, found.path);
      const entries = found.entries.filter((entry) => entry.folder || !folders);
      list.replaceChildren(...entries.map((entry) => place(entry, join(found.path, entry.name))));
      if (entries.length === 0) list.append(h("li", { class: "soft small" }, "Nothing here"));
      if (folders) path.input.value = found.path;
    } catch (error) {
      trouble.replaceChildren(refusal(error));
    }
  };
  const place = (entry, whole) => {
    const kind = entry.folder ? "folder" : bytes(entry.size);
    const choose = h("button", { type: "button", class: entry.folder ? "place folder" : "place", onclick: () => {
      path.input.value = whole;
      if (entry.folder) look(whole);
    } }, h("span", { class: "name" }, entry.name), " ", h("span", { class: "soft small" }, kind));
    return h("li", {}, choose);
  };
  up.addEventListener("click", () => look(parent));
  dialog(title, (close) => {
    const form = h("form", {}, note && h("p", { class: "soft" }, note), path.element, h("div", { class: "row between" }, here, up), list, trouble, errors, h("div", { class: "row end" }, use));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (await attempt(use, () => done(path.input.value.trim()), errors)) close();
    });
    return [form];
  });
  look(folders ? from : "");
}

/** Lets files be dropped anywhere while a group is shown. */
export function dropZone(group) {
  const over = (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("drop");
  };
  const leave = (event) => event.relatedTarget === null && document.body.classList.remove("drop");
  const drop = (event) => {
    event.preventDefault();
    document.body.classList.remove("drop");
    for (const item of event.dataTransfer.items) {
      const entry = item.webkitGetAsEntry?.();
      const file = item.getAsFile();
      if (file) locate(file.name, entry?.isDirectory ? {} : { size: file.size, modified_unix_ms: file.lastModified }, group);
    }
  };
  addEventListener("dragover", over);
  addEventListener("dragleave", leave);
  addEventListener("drop", drop);
  return {
    hint: h("p", { class: "soft small center drops" }, "You can also drop a file of this machine here."),
    close() {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    },
  };
}

/** Finds out where a dropped file lies, and asks before it is shared. */
export async function locate(name, known, group) {
  const place = h("div", {}, h("p", { class: "soft" }, "A browser does not say where a dropped file lies. Looking for it in your home folder …"));
  const errors = h("div");
  const opened = dialog(`Share ${name}`, () => [place, errors]);
  let found;
  try {
    found = await ask("find", { name, ...known });
  } catch (error) {
    return place.replaceChildren(refusal(error));
  }
  const choose = h("button", { type: "button", onclick: () => {
    opened.close();
    share(group);
  } }, "Choose it myself");
  const candidates = found.paths.map((path) => {
    const use = h("button", { type: "button", class: "main", "aria-label": `Share ${path}` }, "Share");
    use.addEventListener("click", async () => {
      if (await attempt(use, () => give(path, group), errors)) opened.close();
    });
    return h("li", { class: "found" }, h("span", { class: "path" }, path), use);
  });
  const none = "It was not found in your home folder. It is shared where it lies, so the node has to know its path.";
  const some = candidates.length === 1 ? "It is shared where it lies, and nothing is uploaded:" : "Which of these is it? It is shared where it lies, and nothing is uploaded.";
  return place.replaceChildren(h("p", { class: "soft" }, candidates.length ? some : none), h("ul", { class: "places" }, candidates), h("div", { class: "row end" }, choose));
}
