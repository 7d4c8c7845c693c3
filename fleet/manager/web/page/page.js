// Shows the board that the manager sends, and says so when it sends nothing any more.
// Whatever came over the wire is put in as text, never as HTML.
"use strict";

const SILENT = 6; // seconds without a word from the manager: what is shown is old
const GIVE_UP = 12; // seconds until a connection or a picture that does not come is asked for anew
const WORDS = { go: "go there", look: "look", unknown: "unknown", fine: "fine" };
const BANDS = { low: "too low", loud: "too loud", silent: "silent" }; // those that can alarm

const HOLD = 6; // seconds that the highest peak stays marked
const CLIP = -1; // dBTP from which a digital signal is cut off somewhere on its way
const CLIP_SHOWN = 30; // seconds that this stays marked
const FEW = 6; // rooms of which each has place for details and for what to type
const EM = { few: 22, many: 19 }; // how many times as high as its letters a card is at least
const SMALLEST = 13; // pixels of letters below which a wall is scrolled instead
const SHAPE = 1.3; // a card is so many times as wide as high

const $ = (id) => document.getElementById(id);
const cards = new Map(); // room -> its element
const coming = new WeakMap(); // a picture's element -> when the one began that is on its way
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
    if (source.readyState === EventSource.CLOSED) meet(); // perhaps we are signed out
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

// What is to be told of no room, each with what to type.
function notes(all) {
  $("notes").hidden = !all.length;
  $("notes").replaceChildren(...all.map((one) => {
    const item = document.createElement("li");
    const typed = document.createElement("code");
    put(typed, one.command);
    item.append(`${one.text} `, typed);
    return item;
  }));
}

function show(next) {
  board = next;
  put($("title"), board.title);
  document.title = board.line.level === "fine" ? board.title : `${board.line.text} – ${board.title}`;
  tally();
  notes(board.notes);
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
  deskShows();
  hang();
}

// A wall shows all rooms at once, each as large as there is place, whatever their state; what would
// be too small to read is scrolled.
function hang() {
  const root = document.documentElement;
  const count = Math.max(1, board ? board.cards.length : 1);
  const [width, tall] = [innerWidth, innerHeight * 0.84]; // the rest is for the one line
  let best = [0, 1];
  for (let columns = 1; columns <= count; columns++) {
    const size = Math.min(width / columns / SHAPE, tall / Math.ceil(count / columns));
    if (size > best[0]) best = [size, columns];
  }
  const rooms = count > FEW ? "many" : "few";
  const rows = Math.ceil(count / best[1]);
  const letters = Math.min(best[0] / EM[rooms], innerHeight / 34);
  const wall = innerWidth >= 1000 && letters >= Math.max(SMALLEST, innerHeight / 86);
  root.dataset.layout = wall ? "wall" : "scroll";
  root.dataset.rooms = rooms;
  root.style.fontSize = wall ? `${letters.toFixed(1)}px` : "";
  $("rooms").style.setProperty("--columns", best[1]);
  const share = [0.42, 0.27][rows - 1] ?? 0.3; // of a card's height, for a picture
  $("rooms").style.setProperty("--picture", wall ? `${Math.floor(share * tall / rows)}px` : "100vh");
  $("rooms").style.setProperty("--rows", rows);
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
  const title = element.querySelector(".title");
  put(title, card.title);
  title.title = card.title;
  const maintained = card.maintenance.length > 0;
  put(element.querySelector(".word"), maintained && card.level === "fine" ? "maintenance" : card.word);
  const line = card.line ?? (maintained
    ? { text: `somebody works on ${card.maintenance.join(", ")}`, command: null } : null);
  const talk = element.querySelector(".now");
  talk.hidden = !card.scheduled;
  put(talk, card.scheduled ?? "");
  talk.title = talk.textContent;
  const text = element.querySelector(".line");
  text.hidden = !line;
  put(text, line ? line.text : "");
  text.title = text.textContent; // a wall shows two lines of it
  const detail = element.querySelector(".detail");
  detail.hidden = !(line && line.detail);
  put(detail, (line && line.detail) || "");
  detail.title = detail.textContent; // a wall shows its beginning
  receipt(element, card.last_talk);
  controls(element, card);
  command(element.querySelector(".command"), line && line.command);
  more(element.querySelector(".more"), card.more);
  views(element.querySelector(".views"), card);
  const none = { none: "–", stopped: "stopped" }[card.record.state];
  fact(element, "record", none ?? `${card.record.running}/${card.record.wanted}`, card.record.state);
  const mix = mixWord(card);
  fact(element, "stream", streamWord(card.stream, mix), mix === "blank" ? "bad" : card.stream.state);
  put(element.querySelector(".talk dt"), card.talk && card.until ? "Talk until" : "Talk");
  fact(element, "talk", card.talk ? brief(card.until) : card.in_use ? "off" : "closed", card.talk ? "on" : "none");
  fact(element, "disk", card.disk_hours === null ? "–" : hours(card.disk_hours),
    card.disk_short ? "bad" : card.disk_hours === null ? "none" : "good");
  ages(element, card);
}

function receipt(element, last) { // of the talk that was decided last
  const red = last ? last.more + (last.verdict === "red") : 0;
  fact(element, "last", red ? `${red} red` : last ? last.verdict : "–", red ? "bad" : last ? "good" : "none");
  const link = element.querySelector(".receipt");
  link.hidden = !last || last.verdict === "green";
  if (link.hidden) return;
  link.href = `talks?talk=${encodeURIComponent(last.talk)}`;
  link.dataset.verdict = last.verdict;
  put(link, `${last.verdict}: “${last.title}”: ${last.why}`);
  link.title = link.textContent;
}

function brief(until) { // the clock above names the time zone
  return until ? until.replace(/ \S+$/, "") : "on";
}

function mixWord(card) { // by the mixers' own word where it is known
  const said = card.controls.mixers.map((one) => one.live);
  if (!said.length || said.includes(null)) return card.mix;
  return said.includes(false) ? "blank" : "live";
}

function streamWord(stream, mix) {
  if (mix === "blank" && stream.state !== "bad") return "blank";
  switch (stream.state) {
    case "good": return "live";
    case "bad": return stream.running ? `${stream.running}/${stream.wanted} live` : "down";
    case "unknown": return "unknown";
    case "stopped": return "stopped";
    default: return mix || "–";
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
  container.dataset.count = Math.min(card.views.length, 6);
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
  const picture = who.pictures && view.picture;
  element.classList.toggle("old", view.stale);
  element.querySelector(".nothing").hidden = Boolean(picture);
  image.hidden = !picture;
  image.alt = `What ${view.station} sees`;
  const from = picture && `${picture}?${view.seen}`;
  if (from && image.dataset.from !== from) load(image, from);
  put(element.querySelector(".name"), view.name);
  element.dataset.alarm = view.alarm;
  loudness(element.querySelector(".loudness"), view);
  meters(element, view);
}

// One comes in at a time: on a slow line the next would be there before any is ever shown.
function load(image, from) {
  image.dataset.from = from;
  const begun = seconds();
  if (begun - (coming.get(image) ?? -Infinity) < GIVE_UP) return;
  coming.set(image, begun);
  const next = new Image(); // loaded aside, so that nothing flickers
  next.src = from;
  const mine = () => coming.get(image) === begun;
  next.decode().then(() => {
    if (mine()) image.src = from;
  }, () => {}).then(() => {
    if (!mine()) return;
    coming.delete(image);
    if (image.dataset.from !== from) load(image, image.dataset.from);
  });
}

function sounds(lufs) {
  return lufs === null ? "–" : lufs <= -100 ? "−∞" : lufs.toFixed(0).replace("-", "−");
}

function loudness(element, view) {
  const word = view.alarm === "fine" ? "" : BANDS[view.band];
  const dead = view.tracks.flatMap((track) => track.channels.filter((one) => one.dead)
    .map((one) => (view.tracks.length > 1 ? `${track.name} ${one.name}` : one.name)));
  const said = [word, dead.length && `${dead.join(", ")} silent`].filter(Boolean).join(", ");
  const parts = [node("b", sounds(view.lufs)), node("i", " LUFS"), ...(said ? [node("em", ` ${said}`)] : [])];
  const key = parts.map((one) => one.textContent).join("");
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...parts);
}

function node(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

// -- meters: every channel of every track, on the scale that broadcasters know --------------

function height(decibels) { // IEC 60268-18: share of the scale, from -60 to 0 dB
  const points = [[-60, 0], [-50, 0.075], [-40, 0.15], [-30, 0.3], [-20, 0.5], [0, 1]];
  if (decibels <= -60) return 0;
  if (decibels >= 0) return 1;
  const above = points.findIndex(([level]) => level >= decibels);
  const [[low, from], [high, to]] = [points[above - 1], points[above]];
  return from + ((decibels - low) / (high - low)) * (to - from);
}

function meters(element, view) {
  const meter = element.querySelector(".meters");
  element.querySelector(".sound").hidden = !view.meters;
  const shape = view.tracks.length ? view.tracks.map((track) => [track.name, track.channels.map((one) => one.name)])
    : [["", ["L", "R"]]];
  const key = JSON.stringify(shape);
  if (meter.dataset.key !== key) {
    meter.dataset.key = key;
    meter.querySelectorAll(".track").forEach((one) => one.remove());
    meter.append(...shape.map(([name, channels]) => track(shape.length > 1 ? name : "", channels)));
  }
  const shown = meter.querySelectorAll(".channel");
  const channels = view.tracks.flatMap((one) => one.channels);
  shown.forEach((one, index) => level(one, channels[index] ?? null, view.measured));
  meter.setAttribute("aria-label", channels.length
    ? `peaks: ${channels.map((one) => `${one.name} ${one.peak <= -100 ? "none" : `${one.peak.toFixed(0)} dB`}`).join(", ")}`
    : "no levels");
}

function track(name, channels) {
  const made = $("track").content.firstElementChild.cloneNode(true);
  const title = made.querySelector(".track-name");
  title.hidden = !name;
  title.textContent = name;
  title.title = name;
  made.querySelector(".channels").append(...channels.map((letter) => {
    const one = $("channel").content.firstElementChild.cloneNode(true);
    one.querySelector("b").textContent = channels.length > 1 ? letter : "";
    return one;
  }));
  return made;
}

function level(element, channel, measured) {
  const peak = channel ? channel.peak : null;
  element.dataset.state = peak === null ? "unknown" : channel.dead ? "dead" : "heard";
  element.querySelector(".bar").style.clipPath = `inset(${100 - 100 * height(peak ?? -99)}% 0 0 0)`;
  const now = seconds();
  if (peak === null) element.held = null;
  else if (!element.held || peak >= element.held.peak || now - element.held.at > HOLD) element.held = { peak, at: now };
  if (peak !== null && peak >= CLIP) element.clipped = now;
  const held = element.held && height(element.held.peak);
  const mark = element.querySelector(".hold");
  mark.hidden = !held;
  mark.style.bottom = `${100 * (held || 0)}%`;
  element.classList.toggle("clip", peak !== null && now - (element.clipped ?? -Infinity) < CLIP_SHOWN);
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

document.addEventListener("who", () => {
  if (board) show(board);
});
addEventListener("resize", hang);
connect();
setInterval(tick, 500);
