// Builds elements. Text is only ever set as text, so a name full of markup is shown as it is.

/** An element: attributes, `on…` handlers, then children (elements, texts, or nothing). */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** An SVG element. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Sets text only where it is another one: nothing is laid out for nothing. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

let numbered = 0;

/** A labelled input. */
export function field(label, attributes = {}) {
  const id = `field-${(numbered += 1)}`;
  const input = h("input", { id, ...attributes });
  return { input, element: h("div", { class: "field grow" }, h("label", { for: id }, label), input) };
}

/** A labelled choice; `options` are pairs of value and text. */
export function choice(label, options, attributes = {}) {
  const id = `field-${(numbered += 1)}`;
  const input = h("select", { id, ...attributes }, options.map(([value, shown]) => h("option", { value }, shown)));
  return { input, element: h("div", { class: "field" }, h("label", { for: id }, label), input) };
}

/** A labelled box to tick. */
export function tick(label, attributes = {}) {
  const input = h("input", { type: "checkbox", ...attributes });
  return { input, element: h("label", { class: "tick" }, input, h("span", {}, label)) };
}

/** Bytes in binary units with three significant digits. */
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = count / 1024;
  let unit = 0;
  while (value >= 999.5 && unit + 1 < units.length) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/** With a capital letter: what the node says in a terminal begins with a small one. */
export function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Advice of the node, which names commands, in words of the page. */
export function inPage(words) {
  return words.replace(/`claim_name [^`]*`/, "“Another name” in the settings");
}

/** `1 peer`, `2 peers`. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** A length of time. */
export function seconds(length) {
  if (length < 10) return `${length.toFixed(1)} s`;
  if (length < 60) return `${Math.round(length)} s`;
  if (length < 3600) return `${Math.floor(length / 60)} min ${Math.floor(length % 60)} s`;
  if (length < 86400) return `${Math.floor(length / 3600)} h ${Math.floor((length % 3600) / 60)} min`;
  return `${Math.floor(length / 86400)} d ${Math.floor((length % 86400) / 3600)} h`;
}

/** A time of day, with the date if that is another day. */
export function when(unixMs) {
  const time = new Date(unixMs);
  const today = time.toDateString() === new Date().toDateString();
  return today ? time.toLocaleTimeString([], { timeStyle: "short" }) : time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
