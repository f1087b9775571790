// Downloads: all of them, and one with its pieces, peers and rates.

import { ask, run } from "./api.js";
import { bytes, count, h, seconds, svg, text } from "./dom.js";
import { groupLink } from "./groups.js";
import { List } from "./list.js";
import { keyOf, ratesOf, runs, state } from "./state.js";
import { action, confirm } from "./ui.js";

/** Cells of the piece map in a row. */
const COLUMNS = 50;

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
    text(sum, running.length ? `${count(running.length, "download")} running, ${bytes(rate)}/s` : "");
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
  if (d.state === "C") return `${bytes(d.bytes_total)} in ${seconds(d.seconds)}${d.sources.length ? `, from ${d.sources.map((s) => s.user).join(", ")}` : ""}`;
  const done = `${bytes(d.bytes_done)} of ${bytes(d.bytes_total)}`;
  if (d.note) return `${done}, ${d.note}`;
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
  const sub = h("span", { class: "sub" });
  const pause = pauseButton(d, errors);
  return {
    element: h("li", {}, h("div", { class: "what" }, h("a", { class: "name stretch", href: link(d), title: d.name }, d.name), sub, bar), percent, h("span", { class: "above" }, pause.button)),
    update(now) {
      text(percent, now.state === "C" ? "complete" : `${now.percent} %`);
      percent.classList.toggle("good", now.state === "C");
      bar.value = Math.floor(now.percent * 10);
      text(sub, line(now));
      pause.update(now);
    },
  };
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
  const figures = new Map(["Done", "Rate", "Time", "Peers", "Sent on"].map((label) => [label, h("dd")]));
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
  const others = h("section", { class: "card" }, h("h2", {}, "Peers"), peers.element);
  const draw = () => {
    const d = now();
    if (!d) return;
    const complete = d.state === "C";
    text(figures.get("Done"), complete ? bytes(d.bytes_total) : `${d.percent} %`);
    text(figures.get("Rate"), complete ? `${bytes(d.seconds ? d.bytes_total / d.seconds : 0)}/s` : `${bytes(d.bytes_per_second)}/s`);
    text(figures.get("Time"), complete ? `took ${seconds(d.seconds)}` : d.bytes_per_second ? `${seconds((d.bytes_total - d.bytes_done) / d.bytes_per_second)} left` : "–");
    text(figures.get("Peers"), String(d.peers));
    bar.value = Math.floor(d.percent * 10);
    text(says, line(d));
    pause.update(d);
    cancel.classList.toggle("hidden", complete);
    forget.classList.toggle("hidden", !complete);
    graph.draw(ratesOf(key));
    moving.classList.toggle("hidden", complete && ratesOf(key).length === 0);
  };
  const look = async () => {
    const about = (await run("show_download", named(first))).items[0];
    text(figures.get("Sent on"), `${bytes(about.bytes_per_second_up)}/s`);
    map.draw(about);
    peers.draw(about.connected);
    pieces.classList.toggle("hidden", about.piece_map === null);
  };
  draw();
  await look();
  return {
    title: name,
    content: [back, h("div", { class: "row between head" }, h("h1", {}, name), h("div", { class: "row" }, open, pause.button, cancel, forget)), errors,
      h("section", { class: "card" }, bar, says, h("dl", { class: "figures-row" }, [...figures].map(([label, value]) => h("div", {}, h("dt", {}, label), value))),
        h("p", { class: "small path" }, h("span", { class: "soft" }, "In group "), h("a", { href: groupLink(group) }, group), h("span", { class: "soft" }, ` · ${first.path}`))),
      pieces, moving, others],
    heard(event) {
      if (event === "moved" || event === "downloads") draw();
      if (event === "second") {
        graph.draw(ratesOf(key));
        look().catch(() => {});
      }
    },
  };
}

/** Rates over time, the newest at the right. */
function rateGraph() {
  const area = svg("path", { class: "area" });
  const curve = svg("path", { class: "curve" });
  const most = h("p", { class: "soft small" });
  const picture = svg("svg", { class: "rate", viewBox: "0 0 180 60", preserveAspectRatio: "none", role: "img", "aria-label": "Rate over the last three minutes" }, area, curve);
  return {
    element: h("div", {}, picture, most),
    draw(rates) {
      const top = Math.max(...rates, 1);
      const at = (rate, i) => `${180 - (rates.length - 1 - i)},${58 - (56 * rate) / top}`;
      const points = rates.map(at).join(" L");
      curve.setAttribute("d", points ? `M${points}` : "");
      area.setAttribute("d", points ? `M${points} L180,60 L${180 - rates.length + 1},60 Z` : "");
      text(most, rates.length ? `The last ${seconds(Math.max(rates.length, 10))}; at most ${bytes(top)}/s` : "Nothing has moved yet.");
    },
  };
}

/** Which pieces are here: squares, first piece first. */
function pieceMap() {
  const layers = { ".": svg("path", { class: "none" }), "+": svg("path", { class: "some" }), "#": svg("path", { class: "all" }) };
  const picture = svg("svg", { class: "pieces", role: "img" }, ...Object.values(layers));
  const words = h("p", { class: "soft small" });
  let drawn = null;
  return {
    element: h("div", {}, picture, words, h("p", { class: "legend small soft" }, h("i", { class: "all" }), "here", h("i", { class: "some" }), "partly", h("i", { class: "none" }), "missing")),
    draw({ piece_map: map, pieces, pieces_total: total, piece_bytes: size }) {
      if (map === null || map === drawn) return;
      drawn = map;
      picture.setAttribute("viewBox", `0 0 ${COLUMNS} ${Math.ceil(map.length / COLUMNS)}`);
      for (const [mark, layer] of Object.entries(layers)) {
        const cells = [...map].map((cell, i) => (cell === mark ? `M${i % COLUMNS} ${Math.floor(i / COLUMNS)}h.86v.86h-.86z` : "")).join("");
        layer.setAttribute("d", cells);
      }
      const said = `${pieces.toLocaleString("en")} of ${count(total, "piece")}${size ? ` of ${bytes(size)}` : ""}`;
      picture.setAttribute("aria-label", `Piece map: ${said}`);
      text(words, said);
    },
  };
}

/** Who is connected, with rates from one look to the next. */
function peerTable() {
  const body = h("tbody");
  const table = h("table", {}, h("thead", {}, h("tr", {}, ["Member", "Has", "From them", "To them"].map((label) => h("th", { scope: "col" }, label)))), body);
  const empty = h("p", { class: "soft" }, "Nobody is connected for it.");
  const before = new Map();
  const rows = new Map();
  return {
    element: h("div", { class: "wide" }, table, empty),
    draw(peers) {
      empty.classList.toggle("hidden", peers.length > 0);
      table.classList.toggle("hidden", peers.length === 0);
      const time = performance.now();
      const seen = new Set();
      for (const peer of peers) {
        const id = `${peer.user} ${peer.address}`;
        seen.add(id);
        const was = before.get(id) ?? { time, from: peer.bytes_from, to: peer.bytes_to };
        const rate = (now, then) => (time > was.time ? `${bytes(((now - then) * 1000) / (time - was.time))}/s` : "–");
        let row = rows.get(id);
        if (!row) {
          row = { has: h("td", { class: "figures" }), from: h("td", { class: "figures" }), to: h("td", { class: "figures" }) };
          row.element = h("tr", {}, h("th", { scope: "row" }, peer.user, h("span", { class: "sub" }, peer.address)), row.has, row.from, row.to);
          rows.set(id, row);
          body.append(row.element);
        }
        text(row.has, `${peer.percent} %`);
        text(row.from, `${rate(peer.bytes_from, was.from)} · ${bytes(peer.bytes_from)}`);
        text(row.to, `${rate(peer.bytes_to, was.to)} · ${bytes(peer.bytes_to)}`);
        before.set(id, { time, from: peer.bytes_from, to: peer.bytes_to });
      }
      for (const [id, row] of rows) {
        if (seen.has(id)) continue;
        row.element.remove();
        rows.delete(id);
        before.delete(id);
      }
    },
  };
}
