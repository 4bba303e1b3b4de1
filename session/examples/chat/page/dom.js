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
  if (node.hidden === shown) node.hidden = !shown;
}

// keyed makes the children of parent those of items, in their order. A child stays
// the same node as long as the item has the same key, so that focus, selection and
// scrolling stay.
export function keyed(parent, items, key, make, update) {
  const wanted = new Set(items.map(key));
  const had = new Map();
  for (const node of [...parent.children]) {
    if (wanted.has(node.itemKey)) had.set(node.itemKey, node);
    else node.remove();
  }
  const focused = document.activeElement;
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
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus();
}

// What changes the direction of writing, or cannot be seen.
const unseen = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/gu;

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
