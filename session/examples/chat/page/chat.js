// The chat page. What it shows is drawn from what the program in it says, read anew
// whenever something happened: the page keeps nothing but what is being typed.

import { openCode, setUpDialogs } from "./dialogs.js";
import { $, el, keyed, set, show, visible, write } from "./dom.js";
import { drawList } from "./list.js";
import { setUpSees, watchSees } from "./sees.js";
import { drawTalk, setUpTalk, typed } from "./talk.js";
import { known, language, say, speak } from "./words.js";

const app = {
  api: null, // the program, once it is ready
  me: null, // the open account
  list: [], // its conversations
  open: "", // the name of the one that is looked at
  lines: [], // its history
  read: null, // the account whose conversations those are
  refresh, attempt, fail, tell, plain, openTalk, screen,
  phone: () => matchMedia("(max-width: 700px)").matches,
  current: () => app.list.find((c) => c.name === app.open),
};

function screen(name) {
  set(document.body, { "data-screen": name });
  watchSees();
  document.title = app.me && name === "chat" ? `${visible(app.me.name)} – gembok` : say("title");
}

// plain is what an error says to a person. Those of the program are sentences.
function plain(err) {
  return typeof err?.code === "string" && err.message ? err.message : say("unreadable");
}

let failures = 0;

function fail(err) {
  failures++;
  write($("error"), typeof err === "string" ? err : plain(err));
  show($("error-bar"), true);
}

function forgive() {
  show($("error-bar"), false);
  write($("error"), "");
}

let told = 0;

// tell says something in passing.
function tell(text) {
  write($("status"), text);
  clearTimeout(told);
  told = setTimeout(() => write($("status"), ""), 8000);
}

// attempt reports whether something worked, and shows why if not. What went wrong
// meanwhile with something else stays to be read.
async function attempt(work) {
  const before = failures;
  try {
    await work();
    if (failures === before) forgive();
    return true;
  } catch (err) {
    if (err?.code !== "asks") fail(err); // the question itself is shown
    return false;
  } finally {
    refresh();
  }
}

// refresh reads anew and draws. However often it is called, there is one reading at
// a time, and the last one began after the last call.
let reading = null;
let again = false;

function refresh() {
  again = true;
  reading ??= read().finally(() => {
    reading = null;
  });
  return reading;
}

async function read() {
  while (again) {
    again = false;
    const { me, open } = app;
    if (!me) return;
    try {
      const list = await app.api.conversations();
      const here = list.some((c) => c.name === open);
      const lines = here ? await app.api.history(open) : [];
      if (app.me !== me || app.open !== open) again = true;
      else draw(me, list, lines);
    } catch (err) {
      if (app.me === me) fail(err);
    }
  }
}

function draw(me, list, lines) {
  app.read = me;
  app.list = list;
  app.lines = lines;
  drawList(app);
  drawTalk(app);
}

// openTalk shows a conversation, or with "" none.
function openTalk(name) {
  app.open = name;
  set(document.body, { "data-view": name ? "talk" : "list" });
  drawTalk(app, true);
  drawList(app);
  return refresh();
}

// What happens is a reason to look again. Some of it is said besides.
function happened(e) {
  switch (e.kind) {
    case "offer":
    case "link":
      openCode(app, e.kind, e.text);
      break;
    case "ready":
      show($("code"), false);
      show($("gone"), false);
      break;
    case "read":
    case "sent":
      show($("gone"), false);
      break;
    case "trouble":
    case "waits":
      trouble(e);
      break;
    case "notice":
      tell(e.text);
      break;
    case "removed":
      show($("removed"), true);
      break;
  }
  refresh();
}

// trouble says what is in the way. A relay that is gone may come back.
function trouble(e) {
  const text = e.peer ? `${visible(e.peer)}: ${e.text}` : e.text;
  if (e.code === "gone") show($("gone"), true);
  else if (e.kind === "waits") tell(text);
  else if (e.text) fail(text);
}

// What the start form and the address of the page can say of an account.
function asked() {
  const form = $("start-form").elements;
  const role = form.role.value;
  const hosted = role === "provider";
  return {
    name: form.name.value.trim(), role, device: Number(form.device.value) || 1, lang: language(),
    provider: hosted ? form.provider.value.trim() : "", domain: hosted ? form.domain.value.trim() : "",
  };
}

function fillStart(who) {
  const form = $("start-form").elements;
  form.name.value = who.name ?? "";
  form.role.value = ["person", "business", "provider"].includes(who.role) ? who.role : "person";
  roleChosen();
  form.device.value = who.device ?? (form.role.value === "provider" ? 2 : 1);
  form.provider.value = who.provider ?? "";
  form.domain.value = who.domain ?? "";
}

function roleChosen() {
  const form = $("start-form").elements;
  const hosted = form.role.value === "provider";
  show($("start-hosted"), hosted);
  set(form.provider, { required: hosted });
  set(form.domain, { required: hosted });
  if (hosted && form.device.value === "1") form.device.value = 2;
  write($("start-name-label"), say(form.role.value === "person" ? "name" : "nameOfBusiness"));
}

function address(who) {
  const query = new URLSearchParams();
  if (who) query.set("as", who.name);
  query.set("lang", language());
  for (const key of ["role", "device", "provider", "domain"]) {
    if (who?.[key]) query.set(key, who[key]);
  }
  history.replaceState(null, "", `?${query}`);
}

// open opens an account. Until it is there, a link or an offer may wait for
// somebody else. The page before this one may not have given the account back yet.
let opening = 0;
const patience = 10; // tries, a tenth of a second apart

async function open(who) {
  const turn = ++opening;
  forgive();
  fillStart(who);
  write($("opening"), say("openingAs", { name: who.name }));
  screen("opening");
  address(who);
  try {
    const me = await opened(who, (e) => turn === opening && happened(e));
    if (turn === opening) await enter({ ...who, ...me, role: me.role === "hosted" ? "provider" : me.role || who.role });
  } catch (err) {
    if (turn === opening) refused(who, err);
  }
}

async function opened(who, onEvent) {
  for (let tries = 1; ; tries++) {
    try {
      return await app.api.open(who, onEvent);
    } catch (err) {
      if (err?.code !== "second" || tries === patience) throw err;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function enter(me) {
  app.me = me;
  app.list = [];
  write($("me"), visible(me.device > 1 ? `${me.name}/${me.device}` : me.name));
  set($("me"), { "data-name": me.name, "data-device": me.device, "data-role": me.role });
  show($("move-open"), me.role === "business");
  if ($("code").dataset.kind === "link") show($("code"), false);
  await openTalk("");
  if (app.me !== me) return;
  screen("chat");
  $("list-title").focus();
}

let wanted = null; // the account that another tab has

function refused(who, err) {
  if (err?.code === "second") {
    wanted = who;
    return broken("second");
  }
  if (err?.code === "nostore") return broken("nostore", plain(err));
  starting();
  fail(err);
}

// broken says that there is no chat here, and why. What was typed stays readable.
function broken(why, text) {
  const second = why === "second";
  forgive();
  show($("refused"), second);
  show($("broken"), !second);
  set($("fatal"), { "data-why": why });
  if (second) write($("refused-text"), say("refusedText", { name: wanted.name }));
  else write($("fatal-text"), text || say(known(`fatal.${why}`) ? `fatal.${why}` : "unreadable"));
  const drafts = app.me ? typed() : "";
  show($("fatal-drafts"), drafts !== "");
  $("fatal-draft").value = drafts;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  screen("fatal");
  $(second ? "refused" : "broken").querySelector("h2").focus();
}

async function starting() {
  opening++;
  app.me = null;
  app.open = "";
  for (const id of ["code", "gone", "removed"]) show($(id), false);
  write($("me"), "");
  screen("start");
  drawAccounts(await app.api.accounts().catch((err) => (fail(err), [])));
}

function drawAccounts(all) {
  show($("accounts"), all.length > 0);
  const key = (a) => `account-${a.name}-${a.device}`;
  const make = (a) => el("li", {}, el("button", { type: "button", "data-testid": key(a), click: () => open({ ...a, role: "person", lang: language() }) }));
  keyed($("account-list"), all, key, make, (node, a) => write(node.firstChild, say(a.device > 1 ? "accountDevice" : "account", a)));
}

async function leave() {
  opening++;
  app.me = null; // from here on nothing is read
  await attempt(() => app.api.close());
  address(null);
  await starting();
  $("start-name").focus();
}

function changeLanguage(to) {
  speak(to);
  $("lang").value = language();
  roleChosen();
  screen(document.body.dataset.screen);
  address(app.me ?? wanted);
  if (wanted) write($("refused-text"), say("refusedText", { name: wanted.name }));
  openCode(app);
  Promise.resolve(app.api?.setLang(language())).then(refresh, fail);
}

function setUp() {
  setUpDialogs(app);
  setUpTalk(app);
  setUpSees(app);
  $("lang").addEventListener("change", () => changeLanguage($("lang").value));
  $("error-close").addEventListener("click", forgive);
  $("close").addEventListener("click", leave);
  for (const radio of $("start-form").elements.role) radio.addEventListener("change", roleChosen);
  $("start-form").addEventListener("submit", (e) => {
    e.preventDefault();
    open(asked());
  });
  $("start-cancel").addEventListener("click", () => {
    address(null);
    location.reload();
  });
  addEventListener("pageshow", (e) => e.persisted && location.reload()); // its account was closed as it was left
  $("fatal-retry").addEventListener("click", () => location.reload());
  $("refused-retry").addEventListener("click", () => open(wanted));
  $("refused-other").addEventListener("click", () => {
    wanted = null;
    address(null);
    starting();
  });
}

// load starts the program, which calls gembokReady when it is there to be used.
async function load() {
  if (!globalThis.WebAssembly?.instantiateStreaming) return broken("wasm");
  if (!globalThis.indexedDB) return broken("nostore");
  const ready = new Promise((resolve) => {
    globalThis.gembokReady = resolve;
  });
  try {
    const go = new globalThis.Go();
    const program = await WebAssembly.instantiateStreaming(fetch("chat.wasm"), go.importObject);
    const ended = () => broken("ended");
    go.run(program.instance).then(ended, ended);
  } catch {
    return broken("load");
  }
  app.api = await ready;
  begin(new URLSearchParams(location.search));
}

async function begin(query) {
  const name = query.get("as");
  const at = (key) => query.get(key) ?? "";
  await app.api.setLang(language());
  if (!name) return starting();
  const role = at("role") || "person";
  open({ name, role, device: Number(at("device")) || (role === "provider" ? 2 : 1), provider: at("provider"), domain: at("domain"), lang: language() });
}

const first = new URLSearchParams(location.search).get("lang") ?? navigator.language;
speak(/^id\b/i.test(first) ? "id" : "en");
$("lang").value = language();
screen("loading");
setUp();
fillStart({});
load();
