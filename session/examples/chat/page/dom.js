// Making nodes of the document, of text only: nothing that comes from outside is
// ever read as markup.

export const $ = (id) => document.querySelector(`[data-testid="${id}"]`);

// el makes an element. Properties that are functions listen to the event of that
// name, booleans are properties, the others attributes.
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  set(node, props);
  node.append(...children);
  return node;
}

// set changes what differs, and nothing else: what stays as it was does not
// disturb a screen reader.
export function set(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (typeof value === "boolean") {
      if (node[name] !== value) node[name] = value;
    } else if (value === null || value === undefined) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
}

// write sets the text of a node.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, shown) {
  if (node.hidden !== shown) return;
  const held = !shown && node.contains(document.activeElement);
  node.hidden = !shown;
  if (held) rescue();
}

// rescue puts the focus somewhere near, where what had it is gone: a keyboard would
// begin at the top of the page again.
function rescue() {
  const near = [document.querySelector("dialog[open] h2"), ...["composer", "peer", "list-title", "start-name"].map($)];
  near.find((node) => node?.checkVisibility() && !node.disabled)?.focus();
}

// utter has a screen reader say something once, be it what was said before.
export function utter(text) {
  const node = el("p", {}, text);
  $("said").append(node);
  setTimeout(() => node.remove(), 10000);
}

// keyed makes the children of parent those of items, in their order. A child stays
// the same node as long as the item has the same key, so that focus, selection and
// scrolling stay.
export function keyed(parent, items, key, make, update) {
  const wanted = new Set(items.map(key));
  const had = new Map();
  const focused = document.activeElement;
  const held = parent !== focused && parent.contains(focused);
  for (const node of [...parent.children]) {
    if (wanted.has(node.itemKey)) had.set(node.itemKey, node);
    else node.remove();
  }
  let at = parent.firstElementChild;
  for (const item of items) {
    let node = had.get(key(item));
    if (!node) {
      node = make(item);
      node.itemKey = key(item);
    }
    update?.(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  if (!held || focused === document.activeElement) return;
  if (parent.contains(focused)) focused.focus();
  else rescue();
}

// What changes the direction of writing, or cannot be seen: controls and formats, and
// letters without a form.
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]/gu;

// visible returns a name with all of that shown as its number.
export const visible = (name) => String(name ?? "").replace(unseen, (c) => `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

// named is an element for the name of somebody or something.
export const named = (text, props = {}) => el("bdi", props, visible(text));

// fileName is what a file is offered as on this side: no path, nothing unseen, not
// hidden, and not endless.
export function fileName(theirs) {
  const base = String(theirs ?? "").split(/[/\\]/).pop().replace(unseen, "").replace(/[<>:"|?*]/g, "_").replace(/^[.\s]+|[.\s]+$/g, "");
  const dot = base.lastIndexOf(".");
  const end = dot > 0 && base.length - dot <= 16 ? base.slice(dot) : "";
  return [...base.slice(0, base.length - end.length)].slice(0, 100).join("") + end || "file";
}

// blobURL is where the browser finds bytes to save. They are of no type that it
// would open.
export function blobURL(bytes) {
  return URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
}

// progress shows how much is done. Without a total it only says that it goes on.
export function progress(bar, done, total) {
  if (total > 0) set(bar, { max: total, value: Math.min(done, total) });
  else bar.removeAttribute("value");
}
