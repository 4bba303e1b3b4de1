// The list of conversations.

import { $, el, keyed, named, set, show, utter, visible, write } from "./dom.js";
import { known, language, say } from "./words.js";

// What is new since one looked, by conversation: the last line that was seen.
let seen = new Map();
let whose = null;
let fresh = new Set();

function kindWord(kind) {
  const key = `kind${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
  return say(known(key) ? key : "kindUnknown");
}

// A group is named by its owner and what that one calls it: OWNER/NAME.
export const titleOf = (c) => (c.kind === "group" ? c.name.slice(c.name.indexOf("/") + 1) : c.name);
const ownerOf = (c) => c.name.slice(0, Math.max(0, c.name.indexOf("/")));

// kindOf says what a conversation is, of a group of somebody else's whose.
export const kindOf = (c) => (c.kind === "group" && !c.mine && ownerOf(c) ? say("kindGroupOf", { name: ownerOf(c) }) : kindWord(c.kind));

export function time(at) {
  const then = new Date(at);
  const today = then.toDateString() === new Date().toDateString();
  const day = today ? {} : { day: "numeric", month: "short" };
  return then.toLocaleString(language(), { hour: "2-digit", minute: "2-digit", ...day });
}

export function drawList(app) {
  if (app.read !== app.me) return;
  if (whose !== app.me) {
    whose = app.me;
    seen = new Map(app.list.map((c) => [c.name, c.last?.id]));
    fresh = new Set();
  }
  for (const c of app.list) notice(app, c);
  show($("list-empty"), app.list.length === 0);
  keyed($("list"), app.list, (c) => c.name, (c) => make(app, c), (node, c) => update(app, node.firstChild, c));
}

// notice marks what has come in a conversation that is not open, and says so.
function notice(app, c) {
  const before = seen.get(c.name);
  seen.set(c.name, c.last?.id);
  if (c.name === app.open) fresh.delete(c.name);
  else if (c.last && c.last.id !== before && !c.last.mine) {
    fresh.add(c.name);
    utter(say("saidElsewhere", { name: titleOf(c) }));
  }
}

function make(app, c) {
  const button = el("button", { type: "button", "data-testid": `conversation-${c.name}`, "data-name": c.name, click: () => app.openTalk(c.name) });
  const row = el("span", { class: "row between" }, named(titleOf(c), { class: "who" }), el("time", { class: "when" }));
  button.append(row, el("span", { class: "kind" }), el("bdi", { class: "last", dir: "auto" }), el("span", { class: "flags" }));
  return el("li", {}, button);
}

const flags = ["changed", "alarm", "asks", "declined", "verified"];

function update(app, button, c) {
  const on = flags.filter((f) => c[f]);
  const words = on.map((f) => say(`flag${f.charAt(0).toUpperCase()}${f.slice(1)}`));
  if (c.waiting > 0) {
    on.push("waiting");
    words.push(say("waitingCount", { n: c.waiting }));
  }
  if (fresh.has(c.name)) {
    on.push("new");
    words.unshift(say("new"));
  }
  set(button, {
    "data-kind": c.kind, "data-label": c.label?.state ?? "", "data-flags": on.join(" "),
    "aria-current": c.name === app.open ? "true" : null,
  });
  write(button.querySelector(".kind"), kindOf(c));
  write(button.querySelector(".when"), c.last ? time(c.last.at) : "");
  write(button.querySelector(".last"), c.last ? snippet(c.last) : "");
  write(button.querySelector(".flags"), words.join(" · "));
}

// snippet begins a line. What somebody writes is theirs, joiners and all; the name of a
// file is to be seen.
const snippet = (line) => (line.file ? visible(line.file.name) : [...(line.text || line.lines?.[0] || "").slice(0, 240)].slice(0, 120).join("").replace(/\s+/g, " "));
