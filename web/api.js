// The local API: commands, questions about this machine, and events. The token comes behind the `#` of the address that
// `peerage up` prints and is kept for this tab only.

const KEPT = "peerage-token";
const API = "/api/v1";

/** Takes the token from the address, if it has one. */
function take() {
  const given = /^#token=([\w-]+)/.exec(location.hash);
  if (!given) return false;
  sessionStorage.setItem(KEPT, given[1]);
  history.replaceState(null, "", "/#/");
  return true;
}
take();
// Pasted where the page is open already, it loads nothing by itself.
addEventListener("hashchange", () => take() && location.reload());

function headers() {
  return { Authorization: `Bearer ${sessionStorage.getItem(KEPT) ?? ""}`, "Content-Type": "application/json" };
}

/** Whether there is a token at all. */
export function hasToken() {
  return sessionStorage.getItem(KEPT) !== null;
}

/** The token was another node's. */
export function forgetToken() {
  sessionStorage.removeItem(KEPT);
}

/** Why something did not work. */
export class Refused extends Error {
  constructor(reply, status) {
    super(reply.error ?? `the node answered ${status}`);
    this.hint = reply.hint;
    this.status = status;
  }
}

const away = () => new Refused({ error: "The node does not answer", hint: "start it again with `peerage up`" }, 0);

async function send(path, options) {
  let response;
  try {
    response = await fetch(`${API}/${path}`, { headers: headers(), ...options });
  } catch {
    throw away();
  }
  if (!response.ok) throw new Refused(await response.json().catch(() => ({})), response.status);
  return response;
}

/** Runs a command; its reply, or throws `Refused`. */
export function run(command, args = {}) {
  return ask(`commands/${command}`, args);
}

/** Asks something about this machine. */
export async function ask(path, question) {
  return (await send(path, { method: "POST", body: JSON.stringify(question) })).json();
}

/** Reads something. */
export async function read(path) {
  return (await send(path)).json();
}

/** Calls `heard(event, data)` for each event until the stream ends. */
export async function listen(heard) {
  const response = await send("events");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    // A node that is killed ends the stream in the middle.
    const { value, done } = await reader.read().catch(() => {
      throw away();
    });
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const part = (name) => lines.filter((l) => l.startsWith(`${name}:`)).map((l) => l.slice(name.length + 1).trimStart());
      const event = part("event")[0];
      if (event) heard(event, JSON.parse(part("data").join("\n")));
    }
  }
}
