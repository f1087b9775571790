// What events told last, and who wants to hear of it.

/** `downloads` is in order; `status` is what the node says of itself. */
export const state = { user: null, status: null, downloads: [], hashing: [], notices: [], unread: 0, connected: false };

/** A download's rates over time, newest last, one a second. */
const RATES_MAX = 180;
const rates = new Map();

/** What a download is told by. */
export function keyOf(download) {
  return `${download.group}/${download.name}`;
}

const RUNNING = new Set(["downloading", "checking", "no_sharer"]);

/** Replaces those downloads that moved. */
export function merge(moved) {
  const at = new Map(state.downloads.map((d, i) => [keyOf(d), i]));
  for (const d of moved) {
    const i = at.get(keyOf(d));
    if (i !== undefined) state.downloads[i] = d;
  }
}

/** Whether bytes are missing, and nothing but time is needed for them to come. */
export function runs(download) {
  return RUNNING.has(download.activity);
}

/** Keeps the rates of this second. */
export function sample() {
  const running = new Set();
  for (const d of state.downloads) {
    if (d.state !== "D") continue;
    running.add(keyOf(d));
    const kept = rates.get(keyOf(d)) ?? [];
    kept.push(d.bytes_per_second);
    if (kept.length > RATES_MAX) kept.shift();
    rates.set(keyOf(d), kept);
  }
  for (const key of rates.keys()) if (!running.has(key) && !state.downloads.some((d) => keyOf(d) === key)) rates.delete(key);
}

/** The rates that are known of a download. */
export function ratesOf(key) {
  return rates.get(key) ?? [];
}

/** The folder that downloads go to: what was chosen here last, else what the node suggests. */
export function downloadFolder() {
  return localStorage.getItem("folder") ?? state.status?.downloads ?? "";
}

/** Remembers it. */
export function setDownloadFolder(path) {
  localStorage.setItem("folder", path);
}
