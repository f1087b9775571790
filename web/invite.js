// The invite of a group: a line to paste, and the same as a picture for a camera; for those who decide also lines that let
// people straight in.

import { ask, run } from "./api.js";
import { choice, count, field, h, svg, when } from "./dom.js";
import { action, attempt, copy, dialog, refusal } from "./ui.js";

/** Modules of light around a picture. */
const QUIET = 4;
const ASKS = "They paste this line here, or run `peerage up` with it, and ask to join; you or an admin accept them.";
const COMES_IN = "Whoever has this line comes straight in. Send it to nobody else.";

/** The dialog; `decides`: of an owner or admin. */
export async function invite(group, decides) {
  const line = h("div", {}, h("p", { class: "soft" }, "Making the line …"));
  const show = async (link, explanation) => {
    const picture = await ask("qr", { text: link }).catch(() => null);
    line.replaceChildren(h("p", { class: "soft" }, explanation), h("div", { class: "invite" }, picture ? code(picture) : "",
      h("div", { class: "line" }, h("textarea", { readonly: true, rows: 7, "aria-label": "Invite", onfocus: (event) => event.target.select() }, link),
        h("button", { type: "button", class: "main", onclick: () => copy(link) }, "Copy"))));
  };
  dialog(`Invite to ${group}`, () => [line, decides && approved(group, show)].filter(Boolean));
  try {
    await show((await run("invite", { group })).items[0].link, ASKS);
  } catch (error) {
    line.replaceChildren(refusal(error));
  }
}

/** Lines that let people straight in: making, listing and withdrawing them. */
function approved(group, show) {
  const expires = choice("Valid for", [["1d", "a day"], ["7d", "a week"], ["30d", "a month"]], { value: "7d" });
  expires.input.value = "7d";
  const uses = field("For how many people", { type: "number", min: 1, value: 1, required: true });
  const errors = h("div");
  const list = h("ul", { class: "places", "aria-label": "Invites that let people in" });
  const make = h("button", {}, "Make the line");
  const draw = async () => {
    const entry = (i) => h("li", { class: "found" }, h("span", {}, `${i.used.length} of ${count(i.uses, "person")} in`, h("span", { class: "sub" }, ` · ${i.issuer} · ${i.state === "open" ? `until ${when(i.expires_ms)}` : i.state.replaceAll("_", " ")}`)),
      i.state === "open" && action("Withdraw", async () => {
        await run("withdraw_invite", { group, invite: i.id });
        await draw();
      }, errors, { "aria-label": `Withdraw the invite of ${i.issuer}`, class: "small" }));
    list.replaceChildren(...(await run("invites", { group })).items.map(entry));
  };
  const form = h("form", { class: "part" }, h("h3", {}, "A line that lets people straight in"), h("div", { class: "row" }, expires.element, uses.element), h("div", { class: "row end" }, make), errors, list);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(make, async () => {
      const reply = await run("invite", { group, "pre-approved": true, expires: expires.input.value, uses: uses.input.value });
      await show(reply.items[0].link, COMES_IN);
      await draw();
    }, errors);
  });
  draw().catch((error) => errors.replaceChildren(refusal(error)));
  return form;
}

function code({ size, path }) {
  const whole = size + 2 * QUIET;
  return svg("svg", { class: "code", viewBox: `${-QUIET} ${-QUIET} ${whole} ${whole}`, role: "img", "aria-label": "The same line as a picture for a camera" }, svg("path", { d: path }));
}
