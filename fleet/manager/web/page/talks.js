// Draws a day of talks, anew whenever the manager says that it has changed.
// Whatever came over the wire is put in as text, never as HTML.
"use strict";

const SILENT = 8; // seconds without a word from the manager: what is shown is old
const GIVE_UP = 16; // seconds until a connection that says nothing is made anew
const WORDS = {
  red: "not all there", yellow: "there, but", green: "there", open: "not decided", out: "not to be published",
};
const LEADS = new Set(["red", "yellow"]); // states to whose talks their count leads
const SHORT = 0.004; // of the line, that a spot is at least wide

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
let day = null;
let tag = null; // of the day that is shown
let heard = -Infinity; // performance.now() of the last word
let ahead = 0; // seconds the manager's clock is ahead of ours
let source = null;
let broken = false;
let loading = false;
let shownReceipt = null; // [room, talk]
let lastShown = []; // [room, talk] to which a count led
let opener = null; // what was clicked for it

const seconds = () => performance.now() / 1000;
const managerNow = () => Date.now() / 1000 + ahead;

function make(name, values = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(values)) {
    if (key === "text") made.textContent = value;
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function symbol(state) {
  const space = "http://www.w3.org/2000/svg";
  const made = document.createElementNS(space, "svg");
  made.setAttribute("class", "symbol");
  made.setAttribute("aria-hidden", "true");
  made.append(document.createElementNS(space, "use"));
  made.firstChild.setAttribute("href", `#${state}`);
  return made;
}

// -- from the manager ----------------------------------------------------------------------

function wanted() {
  const own = new URLSearchParams();
  if (query.get("day")) own.set("day", query.get("day"));
  else if (query.get("talk")) own.set("talk", query.get("talk"));
  return own.size ? `?${own}` : "";
}

function connect() {
  if (source) source.close();
  connect.tried = seconds();
  source = new EventSource(`talks/events${wanted()}`);
  source.addEventListener("day", (event) => {
    const said = JSON.parse(event.data);
    hear(said.now);
    if (said.tag !== tag) load();
    tick();
  });
  source.onerror = () => {
    broken = true;
    if (source.readyState === EventSource.CLOSED) meet(); // perhaps we are signed out
    if (day === null) load(); // which says why
    tick();
  };
}

function hear(now) {
  heard = seconds();
  broken = false;
  ahead = now - Date.now() / 1000;
}

async function load() {
  if (loading) return;
  loading = true;
  try {
    const answer = await fetch(`talks.json${wanted()}`);
    if (!answer.ok) {
      if (answer.status === 401) meet(); // and sign in
      trouble((await answer.text()).trim());
      return;
    }
    const said = await answer.json();
    hear(said.now);
    tag = said.tag;
    show(said.day);
    tick();
  } catch {
    broken = true;
  } finally {
    loading = false;
  }
}

function trouble(text) {
  if (day === null) $("day").textContent = "No such day";
  $("note").textContent = `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
  $("note").hidden = false;
}

function tick() {
  const silence = seconds() - heard;
  const stale = broken || silence > SILENT;
  if (silence > GIVE_UP && seconds() - connect.tried > GIVE_UP) connect();
  if (day === null) return;
  document.body.dataset.state = stale ? "stale" : "live";
  const word = stale ? "stale: the manager is silent" : "live";
  if ($("link").textContent !== word) $("link").textContent = word;
  $("clock").textContent = new Date(managerNow() * 1000).toLocaleTimeString("en-GB", {
    timeZone: day.timezone, hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
  const at = share(managerNow());
  $("lines").dataset.now = at >= 0 && at <= 1;
  $("lines").style.setProperty("--at", at);
  for (const one of document.querySelectorAll(".line .stretch[data-state=open]")) place(one, Number(one.dataset.begin), managerNow());
}

// -- onto the page -------------------------------------------------------------------------

const share = (at) => (at - day.begin) / (day.end - day.begin);

function place(element, begin, end, least = 0) {
  const from = Math.min(Math.max(share(begin), 0), 1);
  const to = Math.min(Math.max(share(end), 0), 1);
  element.style.left = `${100 * from}%`;
  element.style.width = `${100 * Math.max(to - from, Math.min(least, 1 - from))}%`;
  element.hidden = share(end) <= 0 || share(begin) >= 1;
  return element;
}

function show(next) {
  const first = day === null;
  day = next;
  const focused = document.activeElement?.closest?.("[data-talk]");
  const back = focused && $("lines").contains(focused) ? [focused.dataset.room, focused.dataset.talk] : null;
  $("title").textContent = day.title;
  document.title = `Talks, ${day.name} – ${day.title}`;
  $("day").textContent = day.name;
  $("previous").href = `talks?day=${day.previous}`;
  $("next").href = `talks?day=${day.next}`;
  $("today").hidden = day.is_today;
  $("note").textContent = day.note ?? "";
  $("note").hidden = !day.note;
  tally();
  const hours = (day.end - day.begin) / 3600;
  $("lines").style.setProperty("--hours", hours);
  $("hours").replaceChildren(...day.hours.map((hour) => {
    const made = make("span", {}, [make("b", { text: hour.name })]);
    made.style.left = `${100 * share(hour.at)}%`;
    return made;
  }), make("b", { class: "now-name", text: "now" }));
  for (const old of $("lines").querySelectorAll(".room")) old.remove();
  $("lines").append(...day.rooms.map(room));
  table();
  if (back) button(...back)?.focus({ preventScroll: true });
  if (first) {
    begin();
    const talk = query.get("talk");
    const of = talk && day.rooms.find((it) => it.talks.some((one) => one.talk === talk));
    if (of) {
      button(of.room, talk).scrollIntoView({ block: "center", inline: "center" });
      open(of.room, talk);
    }
  } else if (shownReceipt && $("receipt").open) {
    fill(...shownReceipt);
  }
}

function button(room, talk) {
  return [...document.querySelectorAll("#lines [data-talk]")]
    .find((one) => one.dataset.room === room && one.dataset.talk === talk);
}

function begin() { // now, a bit left of the middle
  const line = $("lines");
  const at = share(managerNow());
  if (at > 0 && at < 1) $("board").scrollLeft = at * line.scrollWidth - $("board").clientWidth * 0.55;
}

function tally() {
  const talks = day.rooms.flatMap((one) => one.talks);
  const counts = ["red", "yellow", "green", "open", "out"]
    .map((state) => [state, talks.filter((one) => one.state === state).length])
    .filter(([, count]) => count > 0);
  const shown = JSON.stringify(counts);
  if ($("tally").dataset.shown === shown) return; // so that nobody's focus is lost
  $("tally").dataset.shown = shown;
  $("tally").replaceChildren(...counts.map(([state, count]) => {
    const text = `${count} ${WORDS[state]}`;
    if (!LEADS.has(state)) return make("li", { text });
    const lead = make("button", { type: "button", class: "plain", text, title: "Show the next of them" });
    lead.addEventListener("click", () => showNext(state));
    return make("li", { "data-state": state }, [lead]);
  }));
}

function showNext(state) { // of the talks in that state, after the one that was shown last
  const all = [...$("lines").querySelectorAll(`.block[data-state=${state}]`)];
  const at = all.findIndex((one) => one.dataset.room === lastShown[0] && one.dataset.talk === lastShown[1]);
  const there = all[(at + 1) % all.length];
  if (!there) return;
  lastShown = [there.dataset.room, there.dataset.talk];
  there.focus({ preventScroll: true });
  there.scrollIntoView({ block: "center", inline: "center" });
}

function room(one) {
  const title = make("h3", { text: one.title, title: one.title });
  const made = make("section", { class: "room", "aria-label": one.title, "data-room": one.room });
  const talks = make("div", { class: "line talks-line" }, one.talks.map((it, index) => block(one.room, it, index)));
  talks.style.setProperty("--rows", one.rows);
  talks.append(...one.marks.map(flag));
  const head = make("div", { class: "row" }, [make("div", { class: "name" }, [title]), talks]);
  const rows = one.lines.map((it) => make("div", { class: "row recording" }, [
    make("div", { class: "name", text: it.name, title: it.name }), recording(it)]));
  made.append(head, ...rows);
  if (!one.lines.length) made.append(make("p", { class: "nothing", text: "nothing recorded" }));
  if (one.more) made.append(make("p", { class: "more", text: one.more }));
  return made;
}

function block(name, one, index) {
  const said = [one.time, one.title, WORDS[one.state], one.why, ...one.notes].join(", ");
  const made = make("button", {
    type: "button", class: "block", "data-state": one.state, "data-room": name, "data-talk": one.talk,
    "aria-label": said, "aria-haspopup": "dialog", title: said, tabindex: index ? -1 : 0,
  }, [make("span", { class: "what" }, [symbol(one.state), make("span", { class: "text", text: one.title })]),
    make("span", { class: "when", text: [one.time, ...one.notes].join(", ") })]);
  made.style.setProperty("--row", one.row);
  return place(made, one.begin, one.end);
}

function flag(one) {
  const made = make("span", { class: "flag", "data-kind": one.kind, role: "img", "aria-label": `mark: ${one.said}`, title: one.said });
  made.style.left = `${100 * share(one.at)}%`;
  return made;
}

function recording(one) {
  const made = make("div", { class: "line", role: "img", "aria-label": one.said });
  for (const it of one.stretches) {
    const drawn = make("i", { class: "stretch", "data-state": it.state, "data-begin": it.begin });
    made.append(place(drawn, it.begin, it.end ?? managerNow()));
  }
  for (const it of one.spots) {
    const text = it.times > 1 ? `${it.text} (${it.times} times)` : it.text;
    const drawn = make("i", { class: "spot", "data-kind": it.kind, title: `${text}, ${clock(it.begin)} to ${clock(it.end)}` });
    made.append(place(drawn, it.begin, it.end, SHORT));
  }
  return made;
}

function clock(at) {
  return new Date(at * 1000).toLocaleTimeString("en-GB", { timeZone: day.timezone });
}

function table() {
  $("table").querySelector("tbody").replaceChildren(...day.rooms.flatMap((one) => one.talks.map((it) => {
    const open = make("button", { type: "button", class: "plain", "data-room": one.room, "data-talk": it.talk, text: it.title });
    return make("tr", {}, [
      make("th", { scope: "row", text: one.title }), make("td", { text: it.time }), make("td", {}, [open]),
      make("td", { "data-state": it.state }, [symbol(it.state), WORDS[it.state]]),
      make("td", { text: [it.why, ...it.notes].join("; ") }), make("td", { text: it.by || "–" }),
    ]);
  })));
  $("said").replaceChildren(...day.rooms.flatMap((one) => [
    ...one.lines.map((it) => make("li", { text: `${one.title}: ${it.said}` })),
    ...one.marks.map((it) => make("li", { text: `${one.title}: mark: ${it.said}` })),
  ]));
}

// -- a receipt -----------------------------------------------------------------------------

function open(room, talk) {
  shownReceipt = [room, talk];
  $("receipt-title").textContent = "…";
  $("receipt-body").replaceChildren();
  if (!$("receipt").open) $("receipt").showModal();
  return fill(room, talk);
}

async function fill(room, talk) {
  const asked = new URLSearchParams({ room, talk });
  try {
    const answer = await fetch(`talks/receipt.json?${asked}`);
    const said = answer.ok ? await answer.json() : null;
    if (shownReceipt?.[0] !== room || shownReceipt[1] !== talk) return; // closed meanwhile
    if (said) receipt(said);
    else $("receipt-body").replaceChildren(make("p", { text: await answer.text() }));
  } catch {
    $("receipt-body").replaceChildren(make("p", { text: "The manager does not answer." }));
  }
}

function receipt(one) {
  const state = one.block.state;
  $("receipt").dataset.state = state;
  $("receipt").querySelector("h2 use").setAttribute("href", `#${state}`);
  $("receipt-title").textContent = one.block.title;
  const parts = [
    make("p", { class: "about", text: [`${one.room}, ${one.when}`, ...one.persons, ...one.block.notes].join(" · ") }),
    make("p", { class: "verdict" }, [make("b", { text: WORDS[state] }), `: ${one.block.why}`]),
  ];
  if (!one.recordings.length) parts.push(make("p", { text: "No recording has any of it." }));
  for (const it of one.recordings) {
    const files = [...it.files, ...(it.more ? [`and ${it.more} more`] : [])];
    parts.push(make("section", {}, [
      make("h3", { text: it.name }), make("p", { text: `${it.share} of it; ${it.copied}` }),
      make("ul", { class: "wrong" }, it.wrong.map((text) => make("li", { text }))),
      make("details", {}, [make("summary", { text: `${it.files.length + it.more} files` }),
        make("ul", { class: "files" }, files.map((text) => make("li", { text })))]),
    ]));
  }
  if (one.marks.length) {
    parts.push(make("section", {}, [make("h3", { text: "Marks" }),
      make("ul", {}, one.marks.map((text) => make("li", { text })))]));
  }
  parts.push(make("button", { type: "button", class: "command", title: "Copy", "data-command": one.command, text: one.command }));
  const opened = $("receipt-body").querySelector("details[open]");
  $("receipt-body").replaceChildren(...parts);
  if (opened) $("receipt-body").querySelector("details").open = true;
}

// -- by hand -------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const talk = event.target.closest("[data-talk]");
  if (talk) {
    opener = talk;
    open(talk.dataset.room, talk.dataset.talk);
  }
  if (event.target === $("receipt")) $("receipt").close(); // beside it
  const command = event.target.closest(".command");
  if (!command) return;
  if (navigator.clipboard) {
    navigator.clipboard.writeText(command.dataset.command).then(() => {
      command.classList.add("copied");
      setTimeout(() => command.classList.remove("copied"), 1200);
    }, () => {});
  } else {
    getSelection().selectAllChildren(command); // without TLS a browser lets nobody copy
  }
});

$("receipt").addEventListener("close", () => {
  const [room, talk] = shownReceipt;
  shownReceipt = null;
  (opener?.isConnected ? opener : button(room, talk))?.focus();
});

// One stop for Tab in each room; arrows go from talk to talk.
$("lines").addEventListener("keydown", (event) => {
  const here = event.target.closest(".block");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const down = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!here || !(step || down)) return;
  const own = [...here.parentElement.querySelectorAll(".block")];
  let there = step && own[own.indexOf(here) + step];
  if (down) {
    const rooms = [...$("lines").querySelectorAll(".room:has(.block)")];
    const room = rooms[rooms.indexOf(here.closest(".room")) + down];
    const left = here.offsetLeft;
    there = room && [...room.querySelectorAll(".block")]
      .reduce((best, one) => (Math.abs(one.offsetLeft - left) < Math.abs(best.offsetLeft - left) ? one : best));
  }
  event.preventDefault();
  if (!there) return;
  for (const one of there.parentElement.querySelectorAll(".block")) one.tabIndex = one === there ? 0 : -1;
  there.focus();
  there.scrollIntoView({ block: "nearest", inline: "nearest" });
});

connect();
setInterval(tick, 1000);
