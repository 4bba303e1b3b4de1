// The dialogs: what is asked, compared, downloaded or handed over.

import { $, blobURL, fileName, progress, set, show, write } from "./dom.js";
import { titleOf } from "./list.js";
import { parties, texts } from "./talk.js";
import { say } from "./words.js";

const dialog = (name) => $(`${name}-dialog`);

export function setUpDialogs(app) {
  setUpConsent(app);
  setUpNumber(app);
  setUpExport(app);
  form(app, "new", () => begun(app, $("new-name").value.trim()));
  form(app, "group", () => gathered(app));
  form(app, "move", async () => {
    await app.api.move(code("move"));
    app.tell(say("moved"));
  });
  form(app, "link", async () => {
    await app.api.link($("link-code").value.trim());
    app.tell(say("linked"));
  });
  $("move-code").addEventListener("input", () => write($("move-party"), offered(code("move"))));
  $("code-copy").addEventListener("click", () => copy(app, $("code-text")));
  $("code-close").addEventListener("click", () => show($("code"), false));
}

const code = (name) => $(`${name}-code`).value.replace(/\s+/g, "");

// form makes the dialog of that name ask for something and do it. It stays open, with
// what was typed, if that does not work.
function form(app, name, work) {
  const box = dialog(name);
  const go = $(`${name}-start`);
  const error = $(`${name}-error`);
  $(`${name}-open`).addEventListener("click", () => {
    box.querySelector("form").reset();
    ask(name);
  });
  $(`${name}-cancel`).addEventListener("click", () => box.close());
  box.addEventListener("close", () => app.refresh());
  box.querySelector("form").addEventListener("submit", async (e) => {
    e.preventDefault();
    set(go, { disabled: true });
    write(error, "");
    try {
      await work();
      box.close();
    } catch (err) {
      write(error, app.plain(err));
    } finally {
      set(go, { disabled: false });
    }
  });
}

function ask(name) {
  for (const p of dialog(name).querySelectorAll("[role=alert], [role=status]")) write(p, "");
  dialog(name).showModal();
}

async function begun(app, name) {
  await app.api.start(name);
  app.openTalk(name); // not waited for: once it is there, no dialog has the focus
}

async function gathered(app) {
  const name = $("group-name").value.trim();
  await app.api.group(name, $("group-members").value.split(/[\s,;]+/).filter(Boolean));
  app.openTalk(`${app.me.name}/${name}`);
}

// openGroup asks who is in a group that there is.
export function openGroup(app, c) {
  ask("group");
  $("group-name").value = titleOf(c);
  $("group-members").value = (c.members ?? []).filter((m) => m !== app.me.name).join(" ");
  $("group-members").focus();
}

// offered says whose offer a code is, "" if that is not to be seen. The program looks
// at it in earnest.
function offered(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const { name, domain } = JSON.parse(new TextDecoder().decode(bytes));
    return name && domain ? say("moveParty", { name, domain }) : "";
  } catch {
    return "";
  }
}

// openCode shows a code to be handed over, or without one says anew in the chosen
// language what the code is.
export function openCode(app, kind, text) {
  const card = $("code");
  if (kind) {
    set(card, { "data-kind": kind });
    $("code-text").value = text;
    show(card, true);
    $("code-title").focus();
  }
  const word = card.dataset.kind === "offer" ? "codeOffer" : "codeLink";
  write($("code-title"), say(word));
  write($("code-about"), say(`${word}Text`));
}

async function copy(app, field) {
  try {
    await navigator.clipboard.writeText(field.value);
    app.tell(say("copied"));
  } catch {
    field.focus();
    field.select();
    app.tell(say("copyByHand"));
  }
}

// The question of a conversation. Closing it is no answer: it stays asked, and is not
// put again by itself before the conversation is opened anew or it is another one.
let put = "";

function setUpConsent(app) {
  const box = dialog("consent");
  const answer = async (yes) => {
    const buttons = [$("consent-yes"), $("consent-no")];
    for (const b of buttons) set(b, { disabled: true });
    try {
      await app.api.consent(box.dataset.name, yes, box.dataset.question);
      box.close();
      await app.refresh();
      (yes ? $("composer") : $("consent-open")).focus();
    } catch (err) {
      write($("consent-error"), app.plain(err));
      app.refresh();
    } finally {
      for (const b of buttons) set(b, { disabled: false });
    }
  };
  $("consent-yes").addEventListener("click", () => answer(true));
  $("consent-no").addEventListener("click", () => answer(false));
  $("consent-later").addEventListener("click", () => box.close());
  box.addEventListener("close", () => $("composer").disabled && $("consent-open").focus());
}

// consider puts the question of the conversation c, if there is one to put. With null
// there is no conversation any more. An answer fits the question that is shown, so
// another question is shown as a new one.
export function consider(app, c, again = false) {
  const box = dialog("consent");
  if (!c) {
    put = "";
    box.close();
    return;
  }
  if (box.open && c.declined && box.dataset.again === "true") again = true;
  const question = c.asks ?? (again && c.declined ? { text: say("consentAgain"), lines: c.label?.lines } : null);
  const now = question ? JSON.stringify([c.name, c.question, question]) : "";
  if (box.open && put === now) return;
  const replaced = box.open;
  if (replaced) box.close();
  if (!question) put = "";
  if (!question || (!again && (put === now || c.declined)) || document.querySelector("dialog[open]")) return;
  put = now;
  write($("consent-title"), say("consentTitle", { name: titleOf(c) }));
  write($("consent-text"), question.text);
  write($("consent-error"), "");
  texts($("consent-lines"), question.lines ?? [], "consent-line");
  parties($("consent-parties"), c.label?.parties, "consent-party");
  set(box, { "data-name": c.name, "data-question": c.question, "data-again": String(again) });
  box.showModal();
  $("consent-title").focus(); // and no button: Enter may be on its way
  if (replaced) pause([$("consent-yes"), $("consent-no")]); // and so may a click
}

// pause keeps buttons from being pressed until one can have seen what they are for.
function pause(buttons) {
  for (const b of buttons) set(b, { disabled: true });
  setTimeout(() => buttons.forEach((b) => set(b, { disabled: false })), 700);
}

function setUpNumber(app) {
  const box = dialog("number");
  $("number-close").addEventListener("click", () => box.close());
  $("number-copy").addEventListener("click", () => copy(app, $("number-code")));
  box.addEventListener("close", () => app.refresh());
  $("number-form").addEventListener("submit", async (e) => {
    e.preventDefault();
    await compare(app);
  });
}

export async function openNumber(app) {
  const name = app.open;
  await app.attempt(async () => {
    const n = await app.api.number(name);
    if (app.open !== name || document.querySelector("dialog[open]")) return;
    const box = dialog("number");
    set(box, { "data-name": name });
    write($("number-title"), say("numberTitle", { name }));
    write($("number-text"), say("numberText", { name }));
    write($("number-digits"), fives(n.digits).join(" "));
    $("number-square").replaceChildren(square(n.qr));
    $("number-code").value = n.code;
    $("number-input").value = "";
    result("", "");
    show($("number-verified"), Boolean(n.verified));
    box.showModal();
    $("number-title").focus();
  });
}

const fives = (digits) => String(digits).replace(/\D/g, "").match(/.{1,5}/g) ?? [];

function result(kind, text) {
  set($("number-result"), { "data-result": kind });
  write($("number-result"), text);
}

// compare has the program compare what was typed. What are no digits and no code at
// all does not say that somebody is in between.
async function compare(app) {
  const theirs = $("number-input").value.trim();
  if (theirs === "") return $("number-input").focus();
  try {
    await app.api.verify(dialog("number").dataset.name, theirs);
    result("match", say("numberMatch"));
    show($("number-verified"), true);
  } catch (err) {
    result(err?.code === "unequal" ? "differs" : "error", app.plain(err));
    if (err?.code === "unequal") show($("number-verified"), false);
  }
  app.refresh();
}

// square draws the modules of a QR code, dark on white in any scheme, with the quiet
// zone of four modules that a reader needs.
function square(rows) {
  const svg = (tag, props) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    set(node, props);
    return node;
  };
  const size = rows.length + 8;
  const dark = rows.map((row, y) => row.replace(/./g, (m, x) => (m === "1" ? `M${x + 4} ${y + 4}h1v1h-1z` : "")));
  const image = svg("svg", { "data-testid": "number-qr", role: "img", viewBox: `0 0 ${size} ${size}`, "shape-rendering": "crispEdges", "aria-label": say("numberQR") });
  image.append(svg("rect", { width: size, height: size, fill: "#fff" }), svg("path", { d: dark.join(""), fill: "#000" }));
  return image;
}

// The file of all data, and its key, are here as long as the dialog is open.
let link = "";
let making = 0;

function setUpExport(app) {
  const box = dialog("export");
  $("export-open").addEventListener("click", () => {
    emptyExport();
    box.showModal();
  });
  $("export-close").addEventListener("click", () => box.close());
  $("export-copy").addEventListener("click", () => copy(app, $("export-key")));
  $("export-start").addEventListener("click", () => makeExport(app));
  box.addEventListener("close", () => {
    emptyExport();
    app.refresh();
  });
}

function emptyExport() {
  making++;
  URL.revokeObjectURL(link);
  link = "";
  $("export-key").value = "";
  $("export-link").removeAttribute("href");
  write($("export-error"), "");
  write($("export-status"), "");
  show($("export-done"), false);
  show($("export-doing"), false);
  show($("export-start"), true);
}

async function makeExport(app) {
  emptyExport();
  const turn = making;
  show($("export-start"), false);
  progress($("export-progress"), 0, 0);
  show($("export-doing"), true);
  try {
    const made = await app.api.export((done, total) => turn === making && progress($("export-progress"), done, total));
    if (turn !== making) return;
    link = blobURL(made.bytes);
    set($("export-link"), { href: link, download: fileName(made.name) });
    write($("export-link"), say("exportSave", { name: fileName(made.name) }));
    $("export-key").value = made.key;
    show($("export-done"), true);
    write($("export-status"), say("exportDone"));
    $("export-link").focus();
  } catch (err) {
    if (turn !== making) return;
    write($("export-error"), app.plain(err));
    show($("export-start"), true);
  }
  show($("export-doing"), false);
}
