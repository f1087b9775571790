// Settings: where downloads go, the account, its devices, the node.

import { run } from "./api.js";
import { bytes, choice, field, h, inPage, when } from "./dom.js";
import { choosePath } from "./share.js";
import { downloadFolder, setDownloadFolder, state } from "./state.js";
import { attempt, dialog, tell } from "./ui.js";

/** The view. */
export async function settings() {
  const me = (await run("whoami")).items[0];
  const devices = (await run("list_devices")).items;
  const limits = await limitList();
  return {
    title: "Settings",
    content: [h("h1", {}, "Settings"), folders(), limits, account(me), deviceList(devices), node(me)],
  };
}

function facts(rows) {
  return h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))));
}

function folders() {
  const shown = h("code", { class: "path" }, downloadFolder());
  const choose = h("button", { type: "button", onclick: () => choosePath({ title: "Download to", label: "Folder", button: "Use this folder", folders: true, from: downloadFolder(),
    done: async (path) => {
      setDownloadFolder(path);
      shown.textContent = path;
    } }) }, "Choose another");
  return h("section", { class: "card" }, h("h2", {}, "Downloads"), h("p", { class: "soft" }, "New downloads go to this folder, unless you say something else when you start one."), h("div", { class: "row between" }, shown, choose));
}

/** How fast everything, or one group, may be. */
async function limitList() {
  const list = h("ul", { class: "list free", "aria-label": "Limits" });
  const draw = async () => {
    const limits = (await run("show_limits")).items;
    list.replaceChildren(...limits.map((limit) => h("li", {}, h("div", { class: "what" }, h("span", { class: "name" }, limit.group ?? "Everything together"),
      h("span", { class: "sub" }, `Receiving ${rate(limit.down)} · sending ${rate(limit.up)}`)),
    h("button", { type: "button", "aria-label": `Change the limits of ${limit.group ?? "everything together"}`, onclick: () => changeLimit(limit, draw) }, "Change"))));
  };
  await draw();
  const own = h("button", { type: "button", onclick: async () => {
    const groups = (await run("list_groups")).items.filter((g) => g.standing === "member" || g.standing === "owner");
    changeLimit({ group: groups[0]?.group, down: null, up: null }, draw, groups.map((g) => [g.group, g.group]));
  } }, "Limit one group");
  return h("section", { class: "card" }, h("h2", {}, "Limits"), list, h("div", { class: "row end" }, own));
}

function rate(limit) {
  return limit === null ? "without a limit" : `at most ${bytes(limit)}/s`;
}

function changeLimit(limit, changed, groups) {
  const MEBI = 1024 * 1024;
  const shown = (value) => (value === null ? "" : String(Math.round((value / MEBI) * 100) / 100));
  const fields = [["down", "Receive at most, MiB/s"], ["up", "Send at most, MiB/s"]].map(([name, label]) => [name, field(label, { type: "number", min: "0.01", step: "any", value: shown(limit[name]), placeholder: "no limit" })]);
  const which = groups && choice("Group", groups);
  const errors = h("div");
  const button = h("button", { class: "main" }, "Save");
  dialog(limit.group && !groups ? `Limits of ${limit.group}` : groups ? "Limit one group" : "Limits of everything together", (close) => {
    const form = h("form", {}, which?.element, h("div", { class: "row" }, fields.map(([, input]) => input.element)), h("p", { class: "soft small" }, "Empty means no limit."), errors, h("div", { class: "row end" }, button));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const value = (input) => (input.value === "" ? "none" : String(Math.max(1, Math.round(Number(input.value) * MEBI))));
      const group = which ? which.input.value : limit.group;
      const rates = Object.fromEntries(fields.map(([name, input]) => [name, value(input.input)]));
      if (await attempt(button, () => run("set_limits", { ...(group ? { group } : {}), ...rates }), errors)) {
        close();
        await changed();
      }
    });
    return [form];
  });
}

function account(me) {
  return h("section", { class: "card" }, h("h2", {}, "Account"), facts([["Name", me.user], ["Account id", h("code", {}, me.user_id)], ...me.notes.map((note) => ["Note", inPage(note)])]),
    h("div", { class: "row" }, h("button", { type: "button", onclick: changePassword }, "Change password"), h("button", { type: "button", onclick: recoveryCode }, "New recovery code"), h("button", { type: "button", onclick: anotherName }, "Another name")));
}

/** A form in a dialog that asks for secrets. */
function secrets(title, explanation, fields, label, work) {
  const inputs = fields.map(([name, attributes]) => field(name, { type: "password", required: true, ...attributes }));
  const errors = h("div");
  const button = h("button", { class: "main" }, label);
  dialog(title, (close) => {
    // Whose password it is: for programs that keep passwords.
    const whose = h("input", { type: "text", name: "username", autocomplete: "username", value: state.user, hidden: true });
    const form = h("form", {}, h("p", { class: "soft" }, explanation), whose, inputs.map((input) => input.element), errors, h("div", { class: "row end" }, button));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(button, () => work(inputs.map((input) => input.input.value), close, form), errors);
    });
    return [form];
  });
}

function changePassword() {
  secrets("Change password", "It is changed on every tracker; devices that are logged in stay so.", [["Old password", { autocomplete: "current-password" }], ["New password", { autocomplete: "new-password" }]], "Change password", async ([old, fresh], close) => {
    tell((await run("change_password", { old, new: fresh })).message);
    close();
  });
}

function anotherName() {
  const name = ["New name", { type: "text", maxlength: 64, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }];
  secrets("Another name", "For example after yours went to somebody else. The account stays the same, and earlier names stay yours.", [name, ["Password", { autocomplete: "current-password" }]], "Take this name", async ([fresh, password], close) => {
    tell((await run("claim_name", { name: fresh.trim(), password })).message);
    close();
  });
}

function recoveryCode() {
  secrets("New recovery code", "It sets a new password when the old one is lost. It is shown once, and an earlier one stops working.", [["Password", { autocomplete: "current-password" }]], "Make a code", async ([password], close, form) => {
    const { code } = (await run("recovery_code", { password })).items[0];
    form.replaceChildren(h("p", {}, "Write it down and keep it where nobody else looks."), h("p", { class: "secret" }, h("code", {}, code)), h("div", { class: "row end" }, h("button", { type: "button", onclick: close }, "I have it")));
  });
}

function deviceList(devices) {
  const row = (d) => h("li", {}, h("div", { class: "what" }, h("span", { class: "name" }, d.label || d.tag), h("span", { class: "sub" }, [d.tag, d.since_unix_ms && `since ${when(d.since_unix_ms)}`].filter(Boolean).join(" · "))),
    d.this && h("span", { class: "tag good" }, "this device"), d.removed && h("span", { class: "tag bad" }, "removed"),
    !d.this && !d.removed && h("button", { type: "button", class: "bad", "aria-label": `Remove ${d.label || d.tag}`, onclick: () => putOut(d) }, "Remove"));
  return h("section", { class: "card" }, h("h2", {}, "Devices"), h("ul", { class: "list free", "aria-label": "Devices" }, devices.map(row)));
}

function putOut(device) {
  secrets(`Remove ${device.label || device.tag}?`, "It can never act for this account again, wherever it is.", [["Password", { autocomplete: "current-password" }]], "Remove it", async ([password], close) => {
    tell((await run("revoke_device", { device: device.tag, password })).message);
    close();
    dispatchEvent(new HashChangeEvent("hashchange"));
  });
}

function node(me) {
  const { status } = state;
  return h("section", { class: "card" }, h("h2", {}, "This node"), facts([["Peers connect to", me.listen], ["Tracker in use", me.tracker], ["Data folder", h("code", { class: "path" }, status?.data)], ["Version", status?.version]]));
}
