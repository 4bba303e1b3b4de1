// The open conversation: who holds its keys, what was written, and the composer.

import { consider, openGroup, openNumber } from "./dialogs.js";
import { $, blobURL, el, fileName, keyed, named, progress, set, show, utter, visible, write } from "./dom.js";
import { kindOf, time, titleOf } from "./list.js";
import { known, say } from "./words.js";

const timers = [0, 5, 60, 3600, 86400];
const most = 200; // lines that are drawn, before one asks for more

const drafts = kept(); // what is typed, by account and conversation; a reload keeps it
const handed = []; // what is on its way to the program's outbox, likewise
const uploads = new Map(); // what is being sent, likewise
const place = (app, name = app.open) => `${app.me?.name}/${app.me?.device}/${name}`;

let app = null;
let drawn = ""; // the place whose history is drawn
let heard = new Set(); // the lines of it that were there already
let limit = most;
let low = true; // one looks at the newest line
let height = 0; // of the log, as it was drawn

export function setUpTalk(of) {
  app = of;
  const click = (id, f) => $(id).addEventListener("click", f);
  click("back", () => {
    const name = app.open;
    app.openTalk("");
    ($(`conversation-${CSS.escape(name)}`) ?? $("list-title")).focus();
  });
  click("label-again", () => app.attempt(() => app.api.label(app.open)).then((done) => done && app.tell(say("labelAsked"))));
  click("number-open", () => openNumber(app));
  click("identity-number", () => openNumber(app));
  click("identity-accept", () => app.attempt(() => app.api.accept(app.open, app.current().key)));
  click("group-add", () => openGroup(app, app.current()));
  click("consent-open", () => consider(app, app.current(), true));
  click("attach", () => $("attach-input").click());
  click("earlier", earlier);
  $("attach-input").addEventListener("change", attach);
  $("log").addEventListener("scroll", () => {
    if ($("log").clientHeight === height) low = atEnd(); // else it was not by hand
  });
  new ResizeObserver(follow).observe($("log"));
  $("timer").addEventListener("change", lasts);
  $("compose").addEventListener("submit", send);
  $("composer").addEventListener("input", () => keep(place(app), $("composer").value));
  $("composer").addEventListener("keydown", (e) => {
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing) send(e);
  });
}

// typed is all that was typed and not sent yet.
export const typed = () => [...drafts].filter(([at]) => at.startsWith(place(app, ""))).map(([, text]) => text).join("\n\n");

// kept is what this tab had of drafts before it was loaded anew. A browser that keeps
// nothing of a tab keeps none.
function kept() {
  try {
    return new Map(JSON.parse(sessionStorage.getItem("drafts") ?? "[]"));
  } catch {
    return new Map();
  }
}

function keep(at, text) {
  if (text) drafts.set(at, text);
  else drafts.delete(at);
  const all = new Map();
  for (const [at, text] of [...handed, ...drafts]) all.set(at, all.has(at) ? `${all.get(at)}\n${text}` : text);
  try {
    sessionStorage.setItem("drafts", JSON.stringify([...all]));
  } catch {
    // it is there until the page goes
  }
}

// drawTalk draws the open conversation. As one opens it, the question that may be
// in it is asked again, and what is there already is not read out.
export function drawTalk(of, opened = false) {
  app = of;
  const c = app.current();
  show($("pick"), !c);
  show($("open"), Boolean(c));
  if (opened) leavePlace();
  set($("talk"), { "data-name": c ? c.name : "" });
  if (!c && !opened) set(document.body, { "data-view": "list" });
  if (!c) return;
  head(c);
  alarms(c);
  if (!opened) history(c);
  compose(c);
  follow();
  if (!opened && drawn === "") arrive(c);
  if (!opened) consider(app, c);
}

function leavePlace() {
  drawn = "";
  limit = most;
  low = true;
  set($("talk"), { "data-loaded": null });
  $("lines").replaceChildren();
  $("composer").value = drafts.get(place(app)) ?? "";
  consider(app, null);
}

// arrive is the first time that the history of the open conversation is there.
function arrive(c) {
  drawn = place(app);
  set($("talk"), { "data-loaded": "true" });
  if (document.querySelector("dialog[open]")) return;
  if (app.phone() || blocked(c)) $("peer").focus();
  else $("composer").focus();
}

const blocked = (c) => (c.declined ? "declined" : c.asks ? "asks" : "");

function head(c) {
  if ($("peer").dataset.name !== c.name) $("peer").replaceChildren(named(titleOf(c)));
  set($("peer"), { "data-name": c.name });
  write($("kind"), kindOf(c));
  set($("kind"), { "data-kind": c.kind });
  show($("verified"), Boolean(c.verified));
  show($("number-open"), c.kind !== "group");
  set($("label"), { "data-state": c.label?.state ?? "" });
  texts($("label-lines"), c.label?.lines?.length ? c.label.lines : [say("labelNone")], "label-line");
  parties($("label-parties"), c.label?.parties, "label-party");
  members(c);
  timer(c.timer ?? 0);
}

// texts draws lines as a list.
export function texts(list, lines, id) {
  const items = lines.map((text, i) => ({ text, key: `${i} ${text}` }));
  keyed(list, items, (x) => x.key, (x) => el("li", { dir: "auto", "data-testid": id }, x.text));
}

// parties draws those who hold keys for somebody else, each with the domain that the
// name alone would not give away.
export function parties(list, all, id) {
  const make = (p) => el("li", { class: "party", "data-testid": id, "data-name": p.name, "data-domain": p.domain },
    el("span", { class: "hint" }), " ", named(p.name, { class: "strong" }), " ", named(p.domain, { class: "mono" }));
  keyed(list, all ?? [], (p) => `${p.name} ${p.domain}`, make, (node) => write(node.firstChild, say("party")));
  show(list, Boolean(all?.length));
}

function members(c) {
  const group = c.kind === "group";
  show($("members-part"), group);
  show($("group-add"), group && Boolean(c.mine));
  const expel = (m) => c.mine && m !== app.me.name;
  const make = (m) => {
    const node = el("li", { "data-testid": `member-${m}` }, named(m));
    if (expel(m)) node.append(" ", el("button", { type: "button", class: "small", "data-testid": `expel-${m}`, click: () => app.attempt(() => app.api.expel(titleOf(app.current()), m)) }, "×"));
    return node;
  };
  const update = (node, m) => expel(m) && set(node.lastChild, { "aria-label": say("expel", { name: m }) });
  keyed($("members"), group ? c.members ?? [] : [], (m) => m, make, update);
}

function timer(seconds) {
  const all = timers.includes(seconds) ? timers : [...timers, seconds];
  const word = (n) => (known(`timer${n}`) ? say(`timer${n}`) : say("timerOther", { n }));
  keyed($("timer"), all, (n) => n, (n) => el("option", { value: n }), (node, n) => write(node, word(n)));
  if (document.activeElement !== $("timer") || drawn === "") $("timer").value = String(seconds);
}

async function lasts() {
  const done = await app.attempt(() => app.api.timer(app.open, Number($("timer").value)));
  if (!done) $("timer").value = String(app.current()?.timer ?? 0);
}

function alarms(c) {
  write($("alarm-text"), c.alarm);
  show($("alarm"), Boolean(c.alarm));
  const group = c.kind === "group";
  write($("identity-title"), c.changed ? say(group ? "identityGroupTitle" : "identityTitle", { name: titleOf(c) }) : "");
  write($("identity-text"), c.changed ? say(group ? "identityGroupText" : "identityText", { name: titleOf(c) }) : "");
  show($("identity-number"), !group);
  show($("identity-accept"), !group);
  digits($("identity-key"), c.changed ? c.key : null);
  show($("identity-banner"), Boolean(c.changed));
}

// digits draws the keys of an identity that has changed.
function digits(list, key) {
  const both = typeof key === "string" ? { new: key } : key ?? {};
  const rows = [["identityOld", both.old], ["identityNew", both.new]].filter(([, text]) => text);
  const make = () => el("div", {}, el("dt"), el("dd", { class: "mono" }));
  keyed(list, rows, ([word]) => word, make, (node, [word, text]) => {
    write(node.firstChild, say(word));
    write(node.lastChild, text);
  });
}

// follow keeps the newest line in view, for one who looks at it.
function follow() {
  height = $("log").clientHeight;
  if (low) $("log").scrollTop = $("log").scrollHeight;
}

const atEnd = () => $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 60;

function history(c) {
  const lines = app.lines;
  const from = Math.max(0, lines.length - limit);
  set($("log"), { "aria-label": say("log", { name: titleOf(c) }) });
  show($("earlier"), from > 0);
  show($("log-empty"), lines.length === 0);
  if (drawn === "") heard = new Set(lines.map((l) => l.id));
  keyed($("lines"), lines.slice(from), (l) => `${l.kind} ${l.id}`, make, (node, line) => update(node, line, c));
  const news = lines.filter((l) => !heard.has(l.id));
  for (const l of news) heard.add(l.id);
  if (news.some((l) => l.mine)) low = true;
  for (const l of news) if (!l.mine) utter(spoken(l, c));
}

function spoken(line, c) {
  if (line.kind === "notice") return noticeText(line);
  const from = visible(line.from || c.name);
  return line.file ? say("saidFile", { from, name: line.file.name }) : `${from}: ${line.text}`;
}

function earlier() {
  const log = $("log");
  const left = log.scrollHeight - log.scrollTop;
  limit += most;
  low = false;
  history(app.current());
  log.scrollTop = log.scrollHeight - left;
  if ($("earlier").hidden) log.focus();
}

function make(line) {
  if (line.kind === "notice") {
    return el("li", { class: "notice", "data-testid": "notice", "data-id": line.id, "data-kind": line.notice },
      el("p", { class: "text", dir: "auto" }), el("ul", { class: "plain" }), el("time"));
  }
  const node = el("li", { class: line.mine ? "message mine" : "message", "data-testid": "message", "data-id": line.id },
    el("p", { class: "from", "data-testid": "message-from" }), el("p", { class: "text", dir: "auto", "data-testid": "message-text" }));
  if (line.file) node.append(file(line));
  node.append(el("p", { class: "meta" }, el("time"), el("span", { "data-testid": "message-state" }), el("span", { "data-testid": "message-marks" })));
  return node;
}

function update(node, line, c) {
  const at = node.querySelector("time");
  set(at, { datetime: new Date(line.at).toISOString() });
  write(at, time(line.at));
  if (line.kind === "notice") {
    write(node.firstChild, noticeText(line));
    texts(node.querySelector("ul"), line.lines ?? [], "notice-line");
    return;
  }
  message(node, line, c);
}

const words = { waiting: "stateWaiting", sent: "stateSent", rejected: "stateRejected", read: "stateRead" };
const marks = { unaccepted: "markUnaccepted", unlisted: "markUnlisted", outsider: "markOutsider" };

function message(node, line, c) {
  const part = (id) => node.querySelector(`[data-testid="${id}"]`);
  set(node, { "data-mine": String(Boolean(line.mine)), "data-state": line.state ?? "", "data-from": line.mine ? app.me.name : line.from || c.name });
  write(part("message-from"), line.mine ? say("you") : visible(line.from || c.name));
  set(part("message-from"), { class: !line.mine && c.kind === "group" ? "from" : "unseen" });
  write(part("message-text"), line.text ?? "");
  show(part("message-text"), Boolean(line.text));
  write(part("message-state"), line.mine && words[line.state] ? say(words[line.state]) : "");
  const on = Object.keys(marks).filter((m) => line[m]);
  const all = on.map((m) => say(marks[m]));
  if (line.gone > 0) {
    on.push("timer");
    all.push(say("markTimer"));
  }
  write(part("message-marks"), all.join(" · "));
  set(part("message-marks"), { "data-marks": on.join(" "), class: on.some((m) => m !== "timer") ? "wrong" : null });
  if (line.file) set(part("file-get"), { "aria-label": say("getFile", { name: line.file.name }) });
  if (line.file) write(part("file-get"), say("getFileShort"));
}

const noticeWords = { label: "noticeLabel", hosting: "noticeLabel", changed: "noticeChanged", timer: "noticeTimer", group: "noticeGroup", news: "noticeNews" };
const noticeText = (line) => line.text || (line.lines?.length ? "" : say(noticeWords[line.notice] ?? "noticeOther"));

function file(line) {
  const { name, size } = line.file;
  const bar = el("progress", { "data-testid": "file-progress", hidden: true });
  const get = el("button", { type: "button", "data-testid": "file-get", click: () => fetchFile(line, get, bar) });
  return el("div", { class: "file", "data-testid": "file", "data-name": name, "data-size": size },
    named(name, { class: "strong" }), el("span", { class: "hint" }, bytes(size)), get, bar);
}

function bytes(n) {
  const units = ["B", "kB", "MB", "GB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return `${i === 0 ? n : n.toFixed(1)} ${units[i]}`;
}

async function fetchFile(line, button, bar) {
  set(button, { disabled: true });
  set(bar, { "aria-label": say("fileProgress", { name: line.file.name }) });
  progress(bar, 0, 0);
  show(bar, true);
  await app.attempt(async () => {
    const got = await app.api.file(app.open, line.id, (done, total) => progress(bar, done, total));
    const url = blobURL(got.bytes);
    el("a", { href: url, download: fileName(got.name) }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    app.tell(say("fileReady", { name: got.name }));
  });
  show(bar, false);
  set(button, { disabled: false });
}

function compose(c) {
  const why = blocked(c);
  set($("blocked"), { "data-why": why });
  if (why) {
    write($("blocked-text"), say(why === "asks" ? "blockedAsks" : "blockedDeclined"));
    write($("consent-open"), say(why === "asks" ? "answer" : "thinkAgain"));
  }
  const busy = uploads.has(place(app));
  const free = $("composer").disabled && !why && drawn !== "" && !document.querySelector("dialog[open]");
  set($("composer"), { disabled: why !== "" });
  set($("send"), { disabled: why !== "" });
  show($("blocked"), why !== "");
  set($("attach"), { disabled: why !== "" || busy });
  if (free && document.activeElement === document.body) $("composer").focus();
  upload();
}

// What is sent leaves in the order in which it was written. What could not be taken
// comes back into the composer.
let last = Promise.resolve();

function send(event) {
  event.preventDefault();
  const at = place(app);
  const name = app.open;
  const text = $("composer").value;
  if (text.trim() === "" || $("composer").disabled) return;
  $("composer").value = "";
  const note = [at, text];
  handed.push(note);
  keep(at, "");
  last = last.then(async () => {
    const done = await app.attempt(() => app.api.write(name, text));
    handed.splice(handed.indexOf(note), 1);
    keep(at, done ? drafts.get(at) : [text, drafts.get(at)].filter(Boolean).join("\n"));
    if (!done && place(app) === at) $("composer").value = drafts.get(at);
  });
}

async function attach() {
  const input = $("attach-input");
  const chosen = input.files[0];
  const at = place(app);
  const name = app.open;
  if (!chosen || uploads.has(at)) return;
  uploads.set(at, { name: chosen.name, done: 0, total: 0 });
  compose(app.current());
  const done = await app.attempt(async () => {
    const content = new Uint8Array(await chosen.arrayBuffer());
    await app.api.sendFile(name, chosen.name, content, (sent, total) => {
      uploads.set(at, { name: chosen.name, done: sent, total });
      upload();
    });
  });
  input.value = "";
  uploads.delete(at);
  app.tell(say(done ? "attached" : "attachAgain", { name: chosen.name }));
  if (app.current()) compose(app.current());
}

// upload draws how far the sending of a file is.
function upload() {
  const now = uploads.get(place(app));
  show($("attaching"), Boolean(now));
  show($("attach-progress"), Boolean(now));
  if (!now) return;
  write($("attach-name"), say("attaching", { name: now.name }));
  progress($("attach-progress"), now.done, now.total);
}
