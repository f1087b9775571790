// A list of any length that draws only what can be seen. All rows are as high as the style sheet makes them (`li` has a
// fixed height), so the place of each is known. Rows are keyed: what stays is not made anew, and keeps the focus.

import { h } from "./dom.js";

/** Rows that are drawn beyond the edges of the window. */
const OVER = 10;
const shown = new Set();
let waiting = false;

/** Draws all lists before the next frame. */
function soon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const list of shown) {
      if (list.element.isConnected) list.draw();
      else shown.delete(list);
    }
  });
}
addEventListener("scroll", soon, { passive: true });
addEventListener("resize", soon, { passive: true });

/** See the module. `make(item)` gives `{ element, update(item) }`; `key(item)` tells items apart. */
export class List {
  constructor({ label, key, make, kind = "" }) {
    this.element = h("ul", { class: `list ${kind}`, "aria-label": label });
    this.key = key;
    this.make = make;
    this.rows = new Map();
    this.total = 0;
    this.height = 0;
    this.at = () => undefined;
    this.want = () => {};
  }

  /** `at(i)` is an item, or nothing while it is on its way; `want(from, to)` asks for those. */
  show(total, at, want = () => {}) {
    Object.assign(this, { total, at, want });
    shown.add(this);
    if (this.element.isConnected) this.draw();
    else soon();
  }

  /** All items of an array. */
  showAll(items) {
    this.show(items.length, (i) => items[i]);
  }

  /** Brings what can be seen up to date. */
  draw() {
    if (this.height === 0) this.measure();
    const top = this.element.getBoundingClientRect().top;
    const bound = (i) => Math.max(0, Math.min(this.total, i));
    const from = bound(Math.floor(-top / this.height) - OVER);
    const to = bound(Math.ceil((innerHeight - top) / this.height) + OVER);
    this.element.style.paddingTop = `${from * this.height}px`;
    this.element.style.paddingBottom = `${(this.total - to) * this.height}px`;
    const kept = new Map();
    let missing = false;
    let next = this.element.firstElementChild;
    for (let i = from; i < to; i += 1) {
      const item = this.at(i);
      missing ||= item === undefined;
      const key = item === undefined ? `?${i}` : this.key(item);
      let row = this.rows.get(key);
      if (!row) row = item === undefined ? { element: h("li", { class: "waits", "aria-hidden": "true" }), update() {} } : this.make(item);
      if (row.item !== item) {
        row.update(item);
        row.item = item;
      }
      kept.set(key, row);
      row.element.ariaPosInSet = i + 1;
      row.element.ariaSetSize = this.total;
      if (row.element === next) next = next.nextElementSibling;
      else this.element.insertBefore(row.element, next);
    }
    for (const [key, row] of this.rows) if (!kept.has(key)) row.element.remove();
    this.rows = kept;
    if (missing) this.want(from, to);
  }

  measure() {
    const row = h("li");
    this.element.append(row);
    this.height = row.getBoundingClientRect().height || 1;
    row.remove();
  }
}

addEventListener("resize", () => shown.forEach((list) => (list.height = 0)));
