// The invite of a group: a line to paste, and the same as a picture for a camera.

import { ask, run } from "./api.js";
import { h, svg } from "./dom.js";
import { copy, dialog, refusal } from "./ui.js";

/** Modules of light around a picture. */
const QUIET = 4;

/** The dialog. */
export async function invite(group) {
  const content = h("div", {}, h("p", { class: "soft" }, "Making the line …"));
  dialog(`Invite to ${group}`, () => [content]);
  try {
    const { link } = (await run("invite", { group })).items[0];
    const line = h("textarea", { readonly: true, rows: 4, "aria-label": "Invite", onfocus: (event) => event.target.select() }, link);
    const parts = [h("p", { class: "soft" }, "Send this line to whom you want to have in. They paste it, or run ", h("code", {}, "peerage up"), " with it; you accept them."), line];
    const picture = await ask("qr", { text: link }).catch(() => null);
    if (picture) parts.push(code(picture));
    parts.push(h("div", { class: "row end" }, h("button", { type: "button", class: "main", onclick: () => copy(link) }, "Copy")));
    content.replaceChildren(...parts);
  } catch (error) {
    content.replaceChildren(refusal(error));
  }
}

function code({ size, path }) {
  const whole = size + 2 * QUIET;
  return svg("svg", { class: "code", viewBox: `${-QUIET} ${-QUIET} ${whole} ${whole}`, role: "img", "aria-label": "The same line as a picture for a camera" }, svg("path", { d: path }));
}
