// The local API: commands and events. The token comes behind the `#` of the address that `peerage up` prints and is kept
// for this tab only.

const KEPT = "peerage-token";

const given = /^#token=([\w-]+)/.exec(location.hash);
if (given) {
  sessionStorage.setItem(KEPT, given[1]);
  history.replaceState(null, "", "/#/");
}

function headers() {
  return { Authorization: `Bearer ${sessionStorage.getItem(KEPT) ?? ""}`, "Content-Type": "application/json" };
}

/** Whether there is a token at all. */
export function hasToken() {
  return sessionStorage.getItem(KEPT) !== null;
}

/** Why a command did not work. */
export class Refused extends Error {
  constructor(reply, status) {
    super(reply.error ?? `the node answered ${status}`);
    this.hint = reply.hint;
    this.status = status;
  }
}

/** Runs a command; its reply, or throws `Refused`. */
export async function run(command, args = {}) {
  let response;
  try {
    response = await fetch(`/api/v1/commands/${command}`, { method: "POST", headers: headers(), body: JSON.stringify(args) });
  } catch {
    throw new Refused({ error: "The node does not answer", hint: "start it again with `peerage up`" }, 0);
  }
  const reply = await response.json();
  if (!reply.ok) throw new Refused(reply, response.status);
  return reply;
}

/** Where the node is and who is logged in. */
export async function status() {
  const response = await fetch("/api/v1/status", { headers: headers() });
  if (!response.ok) throw new Refused(await response.json(), response.status);
  return response.json();
}

/** Calls `heard(event, data)` for each event until the stream ends. */
export async function listen(heard) {
  const response = await fetch("/api/v1/events", { headers: headers() });
  if (!response.ok) throw new Refused(await response.json(), response.status);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
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
