// The panel that shows what the relay sees.

import { $, el, set, show, visible } from "./dom.js";

const most = 500; // lines that are kept

let source = null;
let number = 0; // of the last line, where lines have one

export function setUpSees(app) {
  open(matchMedia("(min-width: 1000px)").matches);
  $("sees-open").addEventListener("click", () => {
    open($("sees-part").hidden);
    if (!$("sees-part").hidden) $("sees-part").querySelector("h2").focus();
  });
  $("sees-close").addEventListener("click", () => {
    open(false);
    $("sees-open").focus();
  });
  document.addEventListener("visibilitychange", watchSees);
}

function open(shown) {
  show($("sees-part"), shown);
  set(document.body, { "data-sees": shown ? "open" : "closed" });
  set($("sees-open"), { "aria-expanded": String(shown) });
  watchSees();
}

// watchSees listens as long as there is somebody to look: all tabs of a browser
// together have few connections to a host.
export function watchSees() {
  const wanted = !$("sees-part").hidden && !document.hidden && document.body.dataset.screen === "chat";
  if (wanted === (source !== null)) return;
  if (!wanted) {
    source.close();
    source = null;
    return;
  }
  number = 0;
  source = new EventSource("sees");
  source.addEventListener("open", () => {
    if (number === 0) $("sees").replaceChildren(); // it tells from the beginning
    show($("sees-gone"), false);
  });
  source.addEventListener("error", () => show($("sees-gone"), true));
  source.addEventListener("message", (e) => add(e.data, Number(e.lastEventId)));
}

function add(line, id) {
  const list = $("sees");
  if (id > 0 && id <= number) list.replaceChildren(); // of a relay that was started anew
  number = id;
  const below = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(el("li", { "data-testid": "sees-line" }, visible(line)));
  while (list.childElementCount > most) list.firstElementChild.remove();
  if (below) list.scrollTop = list.scrollHeight;
}
