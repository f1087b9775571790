// Downloads, with their progress and rate over time.

import { state } from "./app.js";
import { bytes, count, h, svg } from "./dom.js";

/** Rates that are kept for the graph of each download; four a second. */
const RATES_MAX = 240;
const rates = new Map();

/** The list; events keep it up to date. */
export function downloads() {
  const list = h("div", { id: "downloads" });
  list.append(...cards(state.downloads));
  return [h("h1", {}, "Downloads"), list];
}

/** Draws what an event told, if the list is shown. */
export function drawDownloads(all) {
  for (const d of all) {
    if (d.state !== "D") continue;
    const kept = rates.get(key(d)) ?? [];
    kept.push(d.bytes_per_second);
    rates.set(key(d), kept.slice(-RATES_MAX));
  }
  const list = document.getElementById("downloads");
  if (!list) return;
  const shown = new Map([...list.querySelectorAll("[data-key]")].map((card) => [card.dataset.key, card]));
  const same = shown.size === all.length && all.every((d) => shown.has(key(d)));
  if (!same) return list.replaceChildren(...cards(all));
  for (const d of all) fill(shown.get(key(d)), d);
}

function key(d) {
  return `${d.group}/${d.name}`;
}

function cards(all) {
  if (all.length === 0) return [h("p", { class: "card empty" }, "No downloads at this time. Open a group and choose a file.")];
  return all.map((d) => {
    const card = h("section", { class: "card download", "data-key": key(d), "aria-label": d.name },
      h("div", { class: "row between" }, h("h2", { class: "name" }, d.name), h("span", { class: "tag" })),
      h("progress", { max: 1000, "aria-label": `Progress of ${d.name}` }),
      h("p", { class: "soft small figures-line" }),
      svg("svg", { class: "rate", viewBox: "0 0 240 60", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("polyline", {})),
      h("p", { class: "soft small path" }));
    fill(card, d);
    return card;
  });
}

function fill(card, d) {
  const complete = d.state === "C";
  const tag = card.querySelector(".tag");
  tag.textContent = complete ? "complete" : `${d.percent} %`;
  tag.classList.toggle("good", complete);
  card.querySelector("progress").value = Math.floor(d.percent * 10);
  card.querySelector(".figures-line").textContent = complete
    ? `${bytes(d.bytes_total)} in ${seconds(d.seconds)}${d.sources.length ? `, from ${d.sources.map((s) => s.user).join(", ")}` : ""}`
    : `${bytes(d.bytes_done)} of ${bytes(d.bytes_total)}, ${bytes(d.bytes_per_second)}/s from ${count(d.peers, "peer")}${d.note ? `, ${d.note}` : left(d)}`;
  card.querySelector(".path").textContent = d.path;
  const graph = card.querySelector(".rate");
  graph.classList.toggle("hidden", complete);
  const kept = rates.get(key(d)) ?? [];
  const top = Math.max(...kept, 1);
  graph.firstChild.setAttribute("points", kept.map((rate, i) => `${240 - kept.length + i},${58 - (56 * rate) / top}`).join(" "));
}

function left(d) {
  return d.bytes_per_second ? `, ${seconds((d.bytes_total - d.bytes_done) / d.bytes_per_second)} left` : "";
}

function seconds(length) {
  if (length < 10) return `${length.toFixed(1)} s`;
  if (length < 60) return `${Math.round(length)} s`;
  if (length < 3600) return `${Math.floor(length / 60)} min ${Math.floor(length % 60)} s`;
  return `${Math.floor(length / 3600)} h ${Math.floor((length % 3600) / 60)} min`;
}
