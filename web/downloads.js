// Downloads: all of them, and one with its pieces, peers and rates.

import { ask, run } from "./api.js";
import { bytes, count, h, seconds, sentence, text } from "./dom.js";
import { pieceMap, rateGraph } from "./graphs.js";
import { groupLink } from "./groups.js";
import { List } from "./list.js";
import { peerTable } from "./peers.js";
import { priorities } from "./priorities.js";
import { keyOf, ratesOf, runs, state } from "./state.js";
import { action, confirm } from "./ui.js";

function link(d) {
  return `#/download/${encodeURIComponent(d.group)}/${encodeURIComponent(d.name)}`;
}

function named(d) {
  return { group: d.group, file: d.name };
}

/** The view of all. */
export function downloads() {
  const errors = h("div");
  const list = new List({ label: "Downloads", key: keyOf, make: (d) => row(d, errors), kind: "downloads" });
  const empty = h("p", { class: "empty" }, "No downloads at this time. Open a group and choose a file.");
  const sum = h("p", { class: "soft", role: "status" });
  const draw = () => {
    const all = [...state.downloads].reverse();
    const running = all.filter(runs);
    all.sort((a, b) => (a.state === "C") - (b.state === "C"));
    const rate = running.reduce((total, d) => total + d.bytes_per_second, 0);
    const waiting = all.filter((d) => d.activity === "no_room").length;
    text(sum, [running.length && `${count(running.length, "download")} running, ${bytes(rate)}/s`, waiting && `${count(waiting, "download")} waiting for room on the disk`].filter(Boolean).join(" · "));
    empty.classList.toggle("hidden", all.length > 0);
    list.showAll(all);
  };
  draw();
  return {
    title: "Downloads",
    content: [h("div", { class: "row between head" }, h("h1", {}, "Downloads"), sum), h("section", { class: "card" }, list.element, empty), errors],
    heard: (event) => (event === "downloads" || event === "moved") && draw(),
  };
}

/** What is going on, in a line. */
function line(d) {
  if (d.state === "C" && d.note) return `${bytes(d.bytes_total)}, ${d.note}`;
  if (d.state === "C") return `${bytes(d.bytes_total)} in ${seconds(d.seconds)}${d.sources.length ? `, from ${d.sources.map((s) => s.user).join(", ")}` : ""}`;
  const done = `${bytes(d.bytes_done)} of ${bytes(d.bytes_total)}`;
  // Where and how much is said in the view of this one.
  if (d.activity === "no_room") return "Waiting for room on the disk";
  if (d.note) return `${sentence(d.note)} · ${done}`;
  return `${done}, ${bytes(d.bytes_per_second)}/s from ${count(d.peers, "peer")}${left(d)}`;
}

function left(d) {
  return d.bytes_per_second ? `, ${seconds((d.bytes_total - d.bytes_done) / d.bytes_per_second)} left` : "";
}

function pauseButton(d, errors) {
  const press = () => run(button.dataset.command, named(d));
  const button = action("Pause", press, errors);
  return { button, update(now) {
    const paused = now.note === "paused" || now.note === "not running";
    button.dataset.command = paused ? "resume_download" : "pause_download";
    text(button, paused ? "Resume" : "Pause");
    button.setAttribute("aria-label", `${button.textContent} ${now.name}`);
    button.classList.toggle("hidden", now.state === "C");
  } };
}

function row(d, errors) {
  const percent = h("span", { class: "figures percent" });
  const bar = h("progress", { max: 1000, "aria-label": `Progress of ${d.name}` });
  const sub = h("span", { class: "sub words" });
  const pause = pauseButton(d, errors);
  return {
    element: h("li", {}, h("div", { class: "what" }, h("a", { class: "name stretch", href: link(d), title: d.name }, d.name), sub, bar), percent, h("span", { class: "above" }, pause.button)),
    update(now) {
      const complete = now.state === "C";
      text(percent, !complete ? `${now.percent} %` : now.note ? "repairing" : "complete");
      percent.classList.toggle("good", complete && !now.note);
      percent.classList.toggle("warn", complete && now.note !== null);
      bar.classList.toggle("hidden", complete);
      bar.value = Math.floor(now.percent * 10);
      text(sub, line(now));
      pause.update(now);
    },
  };
}

/** The same for the view of one, which has the figures beside it. */
function summary(d) {
  if (d.note) return sentence(d.note);
  if (d.state === "C") return d.sources.length ? `Complete, from ${d.sources.map((s) => s.user).join(", ")}` : "Complete";
  const some = d.files !== null && d.files_selected < d.files ? `, ${d.files_selected} of ${count(d.files, "file")}` : "";
  return `${bytes(d.bytes_done)} of ${bytes(d.bytes_total)} from ${count(d.peers, "peer")}${some}`;
}

/** The view of one. */
export async function detail(group, name) {
  const key = `${group}/${name}`;
  const now = () => state.downloads.find((d) => keyOf(d) === key);
  const first = now();
  const back = h("nav", { class: "trail", "aria-label": "Where you are" }, h("a", { href: "#/downloads" }, "Downloads"));
  if (!first) return { title: name, content: [back, h("h1", {}, name), h("p", { class: "card empty" }, "This download is not on the list.")],
    heard: (event) => event === "downloads" && now() && dispatchEvent(new HashChangeEvent("hashchange")) };
  const errors = h("div");
  const figures = Object.fromEntries(["Done", "Size", "Receiving", "Sending", "Peers", "Time"].map((label) => [label, { label: h("dt", {}, label), value: h("dd") }]));
  const bar = h("progress", { max: 1000, "aria-label": "Progress" });
  const says = h("p", { class: "soft", role: "status" });
  const pause = pauseButton(first, errors);
  const cancel = h("button", { type: "button", class: "bad", onclick: () => confirm(`Cancel ${name}?`, "What has arrived of it is removed.", "Cancel the download", async () => {
    await run("cancel_download", named(first));
    location.hash = "#/downloads";
  }) }, "Cancel");
  const forget = action("Remove from the list", async () => {
    await run("forget_download", named(first));
    location.hash = "#/downloads";
  }, errors);
  const open = state.status?.desktop && action("Open folder", () => ask("open", named(first)), errors);
  const graph = rateGraph();
  const map = pieceMap();
  const peers = peerTable();
  const moving = h("section", { class: "card" }, h("h2", {}, "Rate"), graph.element);
  const pieces = h("section", { class: "card" }, h("h2", {}, "Pieces"), map.element);
  const files = first.files === null ? null : priorities(first);
  const others = h("section", { class: "card" }, h("h2", {}, "Peers"), peers.element);
  const draw = () => {
    const d = now();
    if (!d) return;
    const complete = d.state === "C";
    const { Done, Size, Receiving, Time } = figures;
    text(Done.value, `${d.percent} %`);
    text(Size.value, bytes(d.bytes_total));
    text(Receiving.label, complete ? "Average rate" : "Receiving");
    text(Receiving.value, complete ? `${bytes(d.seconds ? d.bytes_total / d.seconds : 0)}/s` : `${bytes(d.bytes_per_second)}/s`);
    text(Time.label, complete ? "Took" : "Time left");
    text(Time.value, complete ? seconds(d.seconds) : d.bytes_per_second ? seconds((d.bytes_total - d.bytes_done) / d.bytes_per_second) : "–");
    bar.value = Math.floor(d.percent * 10);
    text(says, summary(d));
    pause.update(d);
    cancel.classList.toggle("hidden", complete);
    forget.classList.toggle("hidden", !complete);
    files?.draw(d);
    graph.draw(ratesOf(key));
    moving.classList.toggle("hidden", complete && ratesOf(key).length === 0);
  };
  const look = async () => {
    const about = (await run("show_download", named(first))).items[0];
    text(figures.Sending.value, `${bytes(about.bytes_per_second_up)}/s`);
    text(figures.Peers.value, String(about.connected.length));
    map.draw(about);
    peers.draw(about.connected);
    pieces.classList.toggle("hidden", about.piece_map === null);
  };
  draw();
  await look();
  return {
    title: name,
    content: [back, h("div", { class: "row between head" }, h("h1", {}, name), h("div", { class: "row" }, open, pause.button, cancel, forget)), errors,
      h("section", { class: "card" }, bar, says, h("dl", { class: "figures-row" }, Object.values(figures).map(({ label, value }) => h("div", {}, label, value))),
        h("p", { class: "small path" }, h("span", { class: "soft" }, "In group "), h("a", { href: groupLink(group) }, group), h("span", { class: "soft" }, ` · ${first.path}`))),
      pieces, moving, files?.element, others].filter(Boolean),
    heard(event) {
      if (event === "moved" || event === "downloads") draw();
      if (event === "second") {
        graph.draw(ratesOf(key));
        look().catch(() => {});
      }
    },
  };
}
