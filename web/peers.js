// Who is connected for a download.

import { bytes, h, text } from "./dom.js";

/** Who is connected, with rates from one look to the next. */
export function peerTable() {
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
          row = { has: h("td", { class: "figures" }), from: traffic(), to: traffic() };
          row.element = h("tr", {}, h("th", { scope: "row" }, peer.user, h("span", { class: "sub" }, peer.address)), row.has, row.from.element, row.to.element);
          rows.set(id, row);
          body.append(row.element);
        }
        text(row.has, `${peer.percent} %`);
        text(row.from.now, rate(peer.bytes_from, was.from));
        text(row.from.all, bytes(peer.bytes_from));
        text(row.to.now, rate(peer.bytes_to, was.to));
        text(row.to.all, bytes(peer.bytes_to));
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

/** A rate, and below it the bytes since the connection began. */
function traffic() {
  const [now, all] = [h("span"), h("span", { class: "sub" })];
  return { now, all, element: h("td", { class: "figures" }, now, all) };
}
