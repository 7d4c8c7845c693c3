// What people do from the page: nothing is shown as done before the fleet says that it is.
// Whatever came over the wire is put in as text, never as HTML.
"use strict";

const COMPOSITES = { fullscreen: "full screen", side_by_side: "side by side", picture_in_picture: "picture in picture" };
const STOP_FOR = [["15 min", 900], ["45 min", 2700], ["2 hours", 7200], ["until it is started again", null]];
const HOLES = { // what a restart of these roles costs
  record: "The recording goes on in a new file; a second or two are missing between them.",
  ingest: "Whoever records, mixes or watches this sees nothing for some seconds.",
  mix: "The program is gone for some seconds, and what records it misses them.",
};
const SAID_FOR = 10000; // milliseconds for which it is said what became of something
const WORK_FOR = 3600; // seconds of maintenance, unless somebody ends it

const desk = document.getElementById("desk");
let deskRoom = null; // whose desk is open
let deskBusy = false; // whether an answer is waited for
let deskShown = ""; // what of the board is on it
let deskFocus = null; // which of its buttons had the focus last

function made(name, text, attributes = {}) {
  const element = document.createElement(name);
  if (text !== null) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  return element;
}

function button(text, does, attributes = {}) {
  const element = made("button", text, { type: "button", ...attributes });
  element.addEventListener("click", does);
  return element;
}

// -- on the card ---------------------------------------------------------------------------

function controls(element, card) {
  const mixed = element.querySelector(".mixed");
  const [mixer] = card.controls.mixers;
  mixed.hidden = !mixer;
  if (mixer) mixerLine(mixed, mixer);
  const held = element.querySelector(".held");
  const [first, ...others] = card.controls.stopped;
  held.hidden = !first;
  put(held, first ? first + (others.length ? `; and ${others.length} more` : "") : "");
  held.title = card.controls.stopped.join("\n");
  const seen = element.querySelector(".seen-to");
  seen.hidden = !card.controls.seen_to;
  put(seen, card.controls.seen_to ? `seen to by ${card.controls.seen_to}` : "");
  const act = element.querySelector(".act");
  act.hidden = !mayIn(card.room);
  act.setAttribute("aria-label", `Control ${card.title}`);
  act.dataset.room = card.room;
}

function mixerLine(element, mixer) {
  const word = mixer.live === null ? "mixer unknown" : mixer.live ? "live" : "blank";
  const text = mixer.sources.length ? [
    mixer.by && `by ${mixer.by}`,
    COMPOSITES[mixer.composite] ?? "another composite",
    mixer.composite === "fullscreen" ? mixer.a : `${mixer.a} + ${mixer.b}`,
    `sound ${mixer.audio ?? "?"}`,
  ].filter(Boolean).join(" · ") : "";
  if (element.dataset.shows === `${word} ${text}`) return;
  element.dataset.shows = `${word} ${text}`;
  element.dataset.live = word;
  element.title = `${word} ${text}`;
  element.replaceChildren(made("b", word), ` ${text}`);
}

// -- the desk of a room --------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const act = event.target.closest(".act");
  if (act) openDesk(act.dataset.room);
});
document.addEventListener("who", () => {
  if (deskRoom !== null && !mayIn(deskRoom)) desk.close();
});
desk.querySelector(".close").addEventListener("click", () => desk.close());
desk.addEventListener("close", () => {
  const card = cards.get(deskRoom);
  deskRoom = null;
  deskShown = "";
  if (card) card.querySelector(".act").focus();
});

document.getElementById("desk-room").addEventListener("click", (event) => {
  deskFocus = event.target.closest("[data-key]")?.dataset.key ?? deskFocus;
}, true); // before what is pressed draws the desk anew

function openDesk(room) {
  deskRoom = room;
  deskFocus = null;
  deskShown = "";
  say("");
  ask(null);
  deskShows();
  desk.showModal();
}

function say(text, bad = false) {
  const said = document.getElementById("desk-said");
  said.classList.toggle("bad", bad);
  put(said, text);
  clearTimeout(say.timer);
  if (!bad && !text.endsWith("…")) say.timer = setTimeout(() => say(""), SAID_FOR); // what is so stands below
}

function cardOf(room) {
  return board && board.cards.find((card) => card.room === room);
}

// Shows what the board says; what has the focus keeps it.
function deskShows() {
  if (deskRoom === null) return;
  const card = cardOf(deskRoom);
  if (!card) return desk.close();
  put(document.getElementById("desk-title"), card.title);
  const shows = JSON.stringify([card.controls, card.talk, deskBusy]);
  if (shows === deskShown) return;
  deskShown = shows;
  const room = document.getElementById("desk-room");
  const had = room.contains(document.activeElement);
  if (had) deskFocus = document.activeElement.dataset.key ?? deskFocus;
  room.replaceChildren(...sections(card));
  if (had) focusAgain();
}

function focusAgain() {
  const key = deskFocus && CSS.escape(deskFocus);
  (key && desk.querySelector(`[data-key="${key}"]`) || desk.querySelector(".close")).focus();
}

function* sections(card) {
  if (card.room && (card.level !== "fine" || card.controls.seen_to)) yield ackSection(card);
  for (const mixer of card.controls.mixers) yield mixerSection(card, mixer);
  if (card.room) yield talkSection(card);
  if (card.room) yield markSection(card);
  for (const station of card.controls.stations) yield stationSection(card, station);
  if (card.room) yield maintenanceSection(card);
}

function section(title, text, ...children) {
  const element = made("section", null);
  element.append(made("h3", title));
  if (text) element.append(made("p", text));
  element.append(...children);
  return element;
}

function choice(key, text, pressed, does, attributes = {}) {
  return button(text, does, {
    "data-key": key, "aria-pressed": String(pressed), "aria-disabled": deskBusy && "true", ...attributes,
  });
}

function group(label, ...buttons) {
  const element = made("div", null, { class: "group", role: "group", "aria-label": label });
  element.append(...buttons);
  return element;
}

function mixerSection(card, mixer) {
  const where = card.controls.mixers.length > 1 ? mixer.station : card.room || mixer.station;
  const several = card.controls.mixers.length > 1 ? ` of ${mixer.station}` : "";
  const key = (what) => `${mixer.station}/${mixer.instance} ${what}`;
  const does = (operation, asked, doing) => () => perform(operation, { room: where, ...asked }, doing, mixerSaid);
  const known = mixer.live !== null;
  const said = known ? `${mixer.live ? "Live" : "Blank"}${mixer.by ? ` since ${mixer.by.split(", ").reverse().join(", by ")}` : ""}.`
    : "Nobody knows what the mixer shows: it does not run, or does not answer.";
  const parts = [group("What leaves the room",
    choice(key("live"), "Live", mixer.live === true, does("live", {}, "Going live")),
    choice(key("blank"), "Blank", mixer.live === false, does("blank", {}, "Blanking")),
  )];
  if (mixer.sources.length) {
    parts.push(made("h4", "Composite"), group("Composite", ...Object.entries(COMPOSITES).map(([name, text]) =>
      choice(key(name), text, mixer.composite === name, does("cut", { composite: name }, "Cutting")))));
    for (const [part, title] of [["a", mixer.composite === "fullscreen" ? "Picture" : "First picture"], ["b", "Second picture"]]) {
      if (part === "b" && mixer.composite === "fullscreen") continue;
      parts.push(made("h4", title), group(title, ...mixer.sources.map((one) =>
        choice(key(`${part} ${one.name}`), sourceWord(one), mixer[part] === one.name, does("cut", { [part]: one.name }, "Cutting")))));
    }
    parts.push(made("h4", "Sound"), group("Sound", ...mixer.sources.map((one) =>
      choice(key(`audio ${one.name}`), sourceWord(one), mixer.audio === one.name, does("audio", { source: one.name }, "Changing the sound")))));
  }
  return section(`Mixer${several}`, said, ...parts);
}

function sourceWord(source) {
  return source.present ? source.name : `${source.name} (nothing comes)`;
}

function mixerSaid(shown) {
  const cut = shown.composite === "fullscreen" ? shown.a : `${shown.a} and ${shown.b}`;
  return `The mixer is ${shown.live ? "live" : "blank"}, shows ${COMPOSITES[shown.composite] ?? "another composite"} of ${cut}, sound of ${shown.audio}.`;
}

function ackSection(card) {
  const by = card.controls.seen_to;
  const said = by ? `Seen to by ${by}: nobody else is called for what was wrong then.`
    : `${card.line ? card.line.text : "Something is wrong here"}. Nobody has said that they see to it.`;
  return section("What is wrong here", said, button(by ? "See to it no more" : "I see to it, for 30 min",
    () => perform("ack", { room: card.room, on: !by }, "Saying so",
      (done) => (done.state === "on" ? "You see to it: nobody else is called." : "Nobody sees to it: it calls again.")),
    { "data-key": "ack", "aria-disabled": deskBusy && "true" }));
}

function talkSection(card) {
  const { talk, talk_said: by } = card.controls;
  const does = (word) => () => perform("talk", { room: card.room, talk: word }, "Saying so",
    (said) => `Talk: ${said.state === "auto" ? "by the schedule or the hours" : said.state}.`);
  const said = `A talk is ${card.talk ? "on" : "off"}${by ? `, says ${by}` : ""}.`;
  return section("Talk", said, group("Talk",
    choice("talk on", "On", talk === "on", does("on")),
    choice("talk off", "Off", talk === "off", does("off")),
    choice("talk auto", "By the schedule", talk === "auto", does("auto"))));
}

function markSection(card) {
  const does = (kind) => () => ask({
    title: `Mark: ${kind}`,
    note: "Note",
    button: "Set the mark",
    send: (given) => ["mark", { room: card.room, kind, at: given.at, note: given.note || null }],
    doing: "Setting the mark",
    told: (said) => `Marked: ${said.mark.kind} by ${said.mark.by}.`,
    at: new Date(managerNow() * 1000).toISOString(), // when it was pressed, not when the note was written
  });
  return section("Mark the recording", null, group("Mark",
    ...["start", "end", "cut"].map((kind) => button(kind[0].toUpperCase() + kind.slice(1), does(kind),
      { "data-key": `mark ${kind}`, "aria-disabled": deskBusy && "true" }))));
}

function maintenanceSection(card) {
  const by = card.controls.maintenance;
  const said = by ? `Somebody works in this room: ${by}. No alert calls anybody.` : "Nobody works in this room.";
  return section("Maintenance of the room", said, maintain(card.room, Boolean(by), "room"));
}

function maintain(target, on, what) {
  const seconds = on ? null : WORK_FOR;
  const text = on ? "End maintenance" : "Maintenance for an hour";
  return button(text,
    () => perform("maintenance", { target, on: !on, seconds }, "Saying so",
      (said) => `Maintenance of ${said.name} is ${said.state}.`),
    { "data-key": `maintenance ${what} ${target}`, "aria-label": `${text}: ${what} ${target}`,
      "aria-disabled": deskBusy && "true" });
}

function stationSection(card, station) {
  const list = made("ul", null, { class: "instances" });
  list.append(...station.instances.map((one) => instanceItem(station, one)));
  const parts = [];
  if (station.presence !== "online") parts.push(station.presence);
  if (station.maintenance) parts.push(`maintenance: ${station.maintenance}`);
  return section(station.name, parts.join(", "), list, maintain(station.name, Boolean(station.maintenance), "box"));
}

function instanceItem(station, one) {
  const name = `${one.role}/${one.instance}`;
  const of = `${name} of ${station.name}`;
  const item = made("li", null, { "data-instance": `${station.name} ${name}`, "data-state": one.stopped ? "held" : one.state });
  const text = made("div", null);
  text.append(made("b", name), made("span", one.stopped ? one.text : one.state, { class: "state" }));
  if (one.text && !one.stopped) text.append(made("small", one.text));
  if (one.asked) text.append(made("small", `${one.asked}; not come about yet`));
  const asked = { station: station.name, role: one.role, instance: one.instance };
  const key = (what) => `${of} ${what}`;
  const say = instanceSaid;
  const buttons = one.stopped || one.asked
    ? [button("Start", () => perform("start", asked, `Starting ${of}`, say),
      { "data-key": key("go"), "aria-label": `Start ${of}`, "aria-disabled": deskBusy && "true" })]
    : [button(HOLES[one.role] ? "Restart…" : "Restart", () => (HOLES[one.role] ? ask({
      title: `Restart ${of}`,
      question: HOLES[one.role],
      button: "Restart it",
      send: () => ["restart", asked],
      doing: `Restarting ${of}`,
      told: say,
    }) : perform("restart", asked, `Restarting ${of}`, say)),
    { "data-key": key("restart"), "aria-label": `Restart ${of}`, "aria-disabled": deskBusy && "true" }),
    button("Stop…", () => ask({
      title: `Stop ${of}`,
      choices: STOP_FOR,
      note: "Why",
      button: "Stop it",
      send: (given) => ["stop", { ...asked, seconds: given.seconds, why: given.note || null }],
      doing: `Stopping ${of}`,
      told: say,
    }), { "data-key": key("go"), "aria-label": `Stop ${of}`, "aria-disabled": deskBusy && "true" })];
  item.append(text, group(of, ...buttons));
  return item;
}

function instanceSaid(done) {
  const said = done.instances.map((one) => `${one.role}/${one.instance} of ${done.station}: ${one.message && one.done ? one.message : one.state}.`);
  return [...said, done.waits && `${done.waits}.`].filter(Boolean).join(" ");
}

// -- asking, and being asked once more -------------------------------------------------------

// The form that comes before something is done; null: none.
function ask(wish) {
  const form = document.getElementById("desk-ask");
  form.hidden = !wish;
  document.getElementById("desk-room").hidden = Boolean(wish);
  form.replaceChildren();
  if (!wish) return;
  say("");
  form.append(made("h3", wish.title));
  if (wish.question) form.append(made("p", wish.question, { class: "question" }));
  if (wish.choices) {
    const set = made("fieldset", null);
    set.append(made("legend", "For how long"));
    wish.choices.forEach(([text], index) => {
      const label = made("label", null);
      label.append(made("input", null, { type: "radio", name: "for", value: String(index), checked: index === 1 }), ` ${text}`);
      set.append(label);
    });
    form.append(set);
  }
  if (wish.note) {
    const label = made("label", `${wish.note} (others read it)`, { class: "note" });
    label.append(made("input", null, { name: "note", maxlength: "200", autocomplete: "off" }));
    form.append(label);
  }
  const back = button("Back", () => {
    ask(null);
    focusAgain();
  });
  const go = made("button", wish.button, { type: "submit", class: wish.question ? "grave" : "go" });
  form.append(group("", ...(wish.question ? [back, go] : [go, back])));
  form.onsubmit = (event) => {
    event.preventDefault();
    const given = new FormData(form);
    const chosen = wish.choices ? wish.choices[Number(given.get("for"))][1] : undefined;
    const [operation, asked] = wish.send({ seconds: chosen, note: (given.get("note") ?? "").trim(), at: wish.at });
    ask(null);
    focusAgain();
    perform(operation, asked, wish.doing, wish.told);
  };
  // Of the choices the one that holds: whoever types goes on from there.
  const first = form.querySelector("input:checked, input:not([type=radio]), button");
  (wish.question ? back : first).focus();
}

// Asks the manager, and says what it answers; the cards and the desk say what is so.
async function perform(operation, asked, doing, told) {
  if (deskBusy) return;
  const room = deskRoom;
  deskBusy = true;
  say(`${doing}…`);
  deskShows();
  const { result, error } = await act(operation, asked);
  deskBusy = false;
  if (room !== deskRoom) return;
  deskShows();
  if (error) {
    say(error.type === "Forbidden" ? `You may not do this: ${error.message}.` : `Not done: ${error.message}`, true);
  } else if (result.question) {
    ask({
      title: "This ends a recording",
      question: result.question,
      button: "Yes, end it",
      send: () => [operation, { ...asked, sure: true }],
      doing,
      told,
    });
  } else {
    say(told(result), Boolean(result.waits));
  }
}
