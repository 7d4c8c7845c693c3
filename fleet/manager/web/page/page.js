// Shows the board that the manager sends, and says so when it sends nothing any more.
// Whatever came over the wire is put in as text, never as HTML.
"use strict";

const SILENT = 6; // seconds without a word from the manager: what is shown is old
const GIVE_UP = 12; // seconds until a connection that says nothing is made anew
const WORDS = { go: "go there", look: "look", unknown: "unknown", fine: "fine" };
const BANDS = { low: "too low", loud: "too loud", silent: "silent" }; // those that can alarm

const $ = (id) => document.getElementById(id);
const cards = new Map(); // room -> its element
let board = null;
let heard = -Infinity; // performance.now() of the last word
let ahead = 0; // seconds the manager's clock is ahead of ours
let source = null;
let broken = false;

const seconds = () => performance.now() / 1000;
const managerNow = () => Date.now() / 1000 + ahead;

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function symbol(element, level) {
  const use = element.querySelector("use");
  if (use.getAttribute("href") !== `#${level}`) use.setAttribute("href", `#${level}`);
}

function span(age) {
  if (age < 60) return `${Math.max(0, Math.floor(age))} s`;
  if (age < 3600) return `${Math.floor(age / 60)} min`;
  if (age < 86400) return `${Math.floor(age / 3600)} h`;
  return `${Math.floor(age / 86400)} d`;
}

function hours(left) {
  if (left < 2) return `${Math.round(left * 60)} min`;
  return left < 100 ? `${Math.floor(left)} h` : `${Math.floor(left / 24)} d`;
}

// -- from the manager ----------------------------------------------------------------------

function connect() {
  if (source) source.close();
  source = new EventSource("events");
  const hear = (now) => {
    heard = seconds();
    broken = false;
    ahead = now - Date.now() / 1000;
  };
  source.addEventListener("board", (event) => {
    const said = JSON.parse(event.data);
    hear(said.now);
    show(said.board);
    tick();
  });
  source.addEventListener("beat", (event) => {
    hear(Number(event.data));
    tick();
  });
  source.onerror = () => {
    broken = true;
    tick();
  };
}

function tick() {
  const silence = seconds() - heard;
  const stale = broken || silence > SILENT;
  if (silence > GIVE_UP && (!source || seconds() - tick.tried > GIVE_UP)) {
    tick.tried = seconds();
    connect(); // a browser gives up by itself after some answers, and never on a dead line
  }
  if (board === null) {
    if (stale && broken) put($("line"), "The manager does not answer. This page tries again.");
    return;
  }
  document.body.dataset.state = stale ? "stale" : "live";
  put($("link"), stale ? `stale for ${span(silence)}` : "live");
  headline(stale);
  put($("clock"), new Date(managerNow() * 1000).toLocaleTimeString("en-GB", {
    timeZone: board.timezone, hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  }));
  if (!stale) for (const card of board.cards) ages(cards.get(card.room), card);
}
tick.tried = seconds();

// -- onto the page -------------------------------------------------------------------------

function headline(stale) {
  const line = stale
    ? { level: "unknown", text: "the manager is silent: what is below is old", command: null }
    : board.line;
  document.body.dataset.level = line.level;
  $("headline").dataset.level = line.level;
  symbol($("headline"), line.level);
  put($("line"), line.text);
  // What a card says need not be said twice.
  const below = !stale && board.cards.some((card) => card.line && card.line.command === line.command);
  command($("command"), below ? null : line.command);
}

function command(button, text) {
  button.hidden = !text;
  if (text && button.dataset.command !== text) {
    button.dataset.command = text;
    button.title = "Copy";
    put(button, text);
  }
}

function show(next) {
  board = next;
  put($("title"), board.title);
  document.title = board.line.level === "fine" ? board.title : `${board.line.text} – ${board.title}`;
  tally();
  const rooms = $("rooms");
  const known = new Set(board.cards.map((card) => card.room));
  for (const [room, element] of cards) {
    if (!known.has(room)) {
      element.remove();
      cards.delete(room);
    }
  }
  const active = document.activeElement;
  board.cards.forEach((card, index) => {
    let element = cards.get(card.room);
    if (!element) {
      element = $("card").content.firstElementChild.cloneNode(true);
      cards.set(card.room, element);
    }
    fill(element, card);
    if (rooms.children[index] !== element) rooms.insertBefore(element, rooms.children[index] ?? null);
  });
  if (active && active !== document.activeElement && active.isConnected) active.focus();
  const count = board.cards.length;
  document.documentElement.dataset.rooms = count > 6 ? "many" : count > 3 ? "some" : "few";
}

function tally() {
  const counts = ["go", "look", "unknown", "fine"]
    .map((level) => [level, board.cards.filter((card) => card.level === level).length])
    .filter(([, count]) => count > 0);
  const list = $("tally");
  list.replaceChildren(...counts.map(([level, count]) => {
    const item = document.createElement("li");
    item.dataset.level = level;
    item.textContent = `${WORDS[level]}: ${count}`;
    return item;
  }));
}

function fill(element, card) {
  element.dataset.level = card.level;
  element.dataset.room = card.room;
  element.setAttribute("aria-label", `${card.title}: ${card.word}`);
  symbol(element, card.level);
  put(element.querySelector(".title"), card.title);
  const maintained = card.maintenance.length > 0;
  put(element.querySelector(".word"), maintained && card.level === "fine" ? "maintenance" : card.word);
  const line = card.line ?? (maintained
    ? { text: `somebody works on ${card.maintenance.join(", ")}`, command: null } : null);
  const text = element.querySelector(".line");
  text.hidden = !line;
  put(text, line ? line.text : "");
  const detail = element.querySelector(".detail");
  detail.hidden = !(line && line.detail);
  put(detail, (line && line.detail) || "");
  detail.title = detail.textContent; // a wall shows its beginning
  command(element.querySelector(".command"), line && line.command);
  more(element.querySelector(".more"), card.more);
  views(element.querySelector(".views"), card);
  fact(element, "record", card.record.state === "none" ? "–" : `${card.record.running}/${card.record.wanted}`, card.record.state);
  fact(element, "stream", streamWord(card.stream), card.stream.state);
  fact(element, "talk", card.talk ? "on" : card.in_use ? "off" : "closed", card.talk ? "on" : "none");
  fact(element, "disk", card.disk_hours === null ? "–" : hours(card.disk_hours),
    card.disk_short ? "bad" : card.disk_hours === null ? "none" : "good");
  ages(element, card);
}

function streamWord(stream) {
  switch (stream.state) {
    case "good": return "live";
    case "bad": return stream.running ? `${stream.running}/${stream.wanted} live` : "down";
    case "unknown": return "unknown";
    default: return "–";
  }
}

function fact(element, name, text, state) {
  const row = element.querySelector(`.${name}`);
  row.dataset.state = state;
  put(row.querySelector("dd"), text);
}

function more(details, lines) {
  details.hidden = lines.length === 0;
  put(details.querySelector("summary"), `${lines.length} more`);
  const list = details.querySelector("ul");
  while (list.children.length > lines.length) list.lastElementChild.remove();
  lines.forEach((line, index) => {
    const item = list.children[index] ?? list.appendChild(document.createElement("li"));
    item.dataset.level = line.level;
    put(item, line.text);
  });
}

function views(container, card) {
  container.hidden = card.views.length === 0;
  const before = new Map([...container.children].map((child) => [child.dataset.key, child]));
  card.views.forEach((view, index) => {
    const key = `${view.station} ${view.instance}`;
    let element = before.get(key);
    before.delete(key);
    if (!element) {
      element = $("view").content.firstElementChild.cloneNode(true);
      element.dataset.key = key;
    }
    look(element, view);
    if (container.children[index] !== element) container.insertBefore(element, container.children[index] ?? null);
  });
  for (const gone of before.values()) gone.remove();
}

function look(element, view) {
  const image = element.querySelector("img");
  element.classList.toggle("old", view.stale);
  element.querySelector(".nothing").hidden = Boolean(view.picture);
  image.hidden = !view.picture;
  image.alt = `What ${view.station} sees`;
  const from = view.picture && `${view.picture}?${view.seen}`;
  if (from && image.dataset.from !== from) {
    image.dataset.from = from;
    const next = new Image(); // loaded aside, so that nothing flickers
    next.src = from;
    next.decode().then(() => {
      if (image.dataset.from === from) image.src = from;
    }, () => {});
  }
  put(element.querySelector(".name"), view.name);
  const meters = element.querySelector(".meters");
  const loudness = element.querySelector(".loudness");
  meters.hidden = loudness.hidden = !view.meters;
  element.dataset.alarm = view.alarm;
  put(loudness.querySelector("b"), view.lufs === null ? "–" : view.lufs <= -100 ? "−∞" : view.lufs.toFixed(0).replace("-", "−"));
  put(loudness.querySelector("i"), view.alarm === "fine" ? "LUFS" : `LUFS ${BANDS[view.band]}`);
  for (const side of ["left", "right"]) level(meters.querySelector(`.${side} .bar`), view[side]);
  meters.setAttribute("aria-label", view.left === null ? "no levels"
    : `peaks: left ${view.left.toFixed(0)} dB, right ${(view.right ?? view.left).toFixed(0)} dB`);
}

function level(bar, decibels) {
  const share = decibels === null ? 0 : Math.min(1, Math.max(0, (decibels + 60) / 60));
  bar.style.transform = `scaleX(${share})`;
  bar.classList.toggle("hot", decibels !== null && decibels > -5);
}

function ages(element, card) {
  if (!element) return;
  const now = managerNow();
  fact(element, "write", card.last_write === null ? "–" : span(now - card.last_write),
    card.last_write === null ? "none" : now - card.last_write > board.write_seconds ? "bad" : "good");
  const shown = element.querySelectorAll(".view");
  card.views.forEach((view, index) => {
    put(shown[index].querySelector(".age"), view.seen === null ? "" : span(now - view.seen));
  });
}

// -- by hand -------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const button = event.target.closest(".command");
  if (!button) return;
  if (navigator.clipboard) {
    navigator.clipboard.writeText(button.dataset.command).then(() => {
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), 1200);
    }, () => {});
  } else {
    getSelection().selectAllChildren(button); // without TLS a browser lets nobody copy
  }
});

connect();
setInterval(tick, 500);
