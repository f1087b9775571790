// What of the page that is shown somebody cannot read, reach or be told. Answers { faults, controls }: faults in words, and
// the elements that can be used, for the browser's accessibility tree to name.

const faults = [];
const fault = (what, element) => faults.push(`${what}: ${element ? `<${element.localName}> "${(element.textContent || element.value || "").trim().slice(0, 40)}"` : ""}`);
const dialog = document.querySelector("dialog[open]");
const root = dialog ?? document.body;
const visible = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
const all = [...root.querySelectorAll("*")].filter(visible);

// Structure.
if (!document.documentElement.lang) fault("the page has no language");
if (!document.title) fault("the page has no title");
for (const landmark of ["main", "header", "nav"]) {
  if (!document.querySelector(landmark)) fault(`there is no ${landmark}`);
}
if (document.querySelectorAll("h1").length !== 1) fault("there is not one h1 but another number");
let level = dialog ? 1 : 0;
for (const heading of all.filter((e) => /^h[1-6]$/.test(e.localName))) {
  const own = Number(heading.localName[1]);
  if (own > level + 1) fault(`a heading of level ${own} follows one of level ${level}`, heading);
  level = own;
}
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) fault(`the id ${id} is there twice`);
for (const list of all.filter((e) => e.localName === "ul")) {
  for (const child of list.children) if (child.localName !== "li") fault("a list holds something else than entries", child);
}
for (const image of all.filter((e) => e.localName === "img")) if (!image.hasAttribute("alt")) fault("a picture has no alt", image);
for (const hidden of document.querySelectorAll("[aria-hidden=true]")) {
  if (hidden.querySelector("a, button, input, select, textarea, [tabindex]")) fault("something that can be used is hidden from screen readers", hidden);
}

// Contrast: WCAG 2.2, 1.4.3 and, for the edges of fields, 1.4.11.
const parse = (color) => {
  const found = /^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/.exec(color);
  return found ? [Number(found[1]), Number(found[2]), Number(found[3]), found[4] === undefined ? 1 : Number(found[4])] : null;
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const behind = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) {
    const color = parse(getComputedStyle(e).backgroundColor);
    if (!color) fault("a background in an unknown form", e);
    else if (color[3] > 0) layers.push(color);
    if (color?.[3] === 1) break;
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), parse(getComputedStyle(document.documentElement).backgroundColor));
};
const luminance = (color) => {
  const [r, g, b] = color.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (a, b) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
};
let texts = 0;
for (const element of all) {
  const own = [...element.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim()) || (element.value && /input|select|textarea/.test(element.localName));
  if (!own || element.localName === "option" || element.ownerSVGElement) continue;
  texts += 1;
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const back = behind(element);
  const found = ratio(over(parse(style.color), back), back);
  if (found < (large ? 3 : 4.5) && !element.matches(":disabled")) fault(`contrast ${found.toFixed(2)}`, element);
}
if (texts === 0) fault("there is no text");
for (const input of all.filter((e) => /^(input|select|textarea)$/.test(e.localName) && e.type !== "checkbox")) {
  const found = ratio(parse(getComputedStyle(input).borderTopColor), behind(input.parentElement));
  if (found < 3) fault(`the edge of a field has a contrast of ${found.toFixed(2)}`, input);
}

// What can be used: large enough (2.5.8, and for thumbs 2.5.5), and seen to have the focus (2.4.7).
const controls = all.filter((e) => e.matches("a[href], button, input, select, textarea, [tabindex='0']"));
const least = innerWidth < 600 ? 44 : 24;
const had = document.activeElement;
for (const control of controls) {
  if (control.matches(":disabled")) continue;
  const box = (control.closest("label") ?? control).getBoundingClientRect();
  const inText = control.localName === "a" && control.closest("p, dd, .name, #skip");
  if (!inText && (Math.round(box.width) < least || Math.round(box.height) < least)) fault(`only ${Math.round(box.width)} × ${Math.round(box.height)} large`, control);
  document.activeElement?.blur();
  control.focus({ focusVisible: true, preventScroll: true });
  if (document.activeElement !== control) fault("cannot have the focus", control);
  const rings = [null, "::after"].map((part) => getComputedStyle(control, part));
  if (!rings.some((style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2)) fault("the focus is not seen", control);
}
had?.focus({ preventScroll: true });
return { faults, controls: controls.filter((e) => e.id !== "skip") };
