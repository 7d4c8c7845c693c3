// Who looks at this page, and what they may do; every page loads it before its own script.
"use strict";

const who = {
  name: null, // null while nobody is signed in
  rights: null, // "viewer", "room:hall1,hall2", "operator", "admin"
  rooms: [], // where, for "room:…"
  proof: null,
  can_sign_in: false,
  must_sign_in: false,
  pictures: true, // whether pictures are shown to them
};

// Asks the manager anew; "who" is told to the document once that is known.
async function meet() {
  try {
    Object.assign(who, await (await fetch("who", { cache: "no-store" })).json());
  } catch {
    return; // it does not answer, which the page says elsewhere
  }
  if (who.must_sign_in) {
    const here = location.pathname.split("/").pop() + location.search;
    location.replace(`signin?next=${encodeURIComponent(here)}`);
    return;
  }
  const place = document.getElementById("who");
  if (place) place.replaceChildren(...door());
  document.dispatchEvent(new Event("who"));
}

// Whether they may act in a room.
function mayIn(room) {
  return who.rights === "operator" || who.rights === "admin" || who.rooms.includes(room);
}

// The manager's reply, {result, error}, to an operation with these arguments.
async function act(operation, asked) {
  let answer;
  try {
    answer = await fetch(`do/${operation}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Fleet-Proof": who.proof ?? "" },
      body: JSON.stringify(asked),
    });
  } catch {
    const message = "the manager does not answer; whether it was done is not known";
    return { result: null, error: { type: "Unreachable", message, problems: [] } };
  }
  if (answer.status === 401) meet();
  return answer.json();
}

function door() {
  if (who.name === null) {
    if (!who.can_sign_in) return [];
    const link = document.createElement("a");
    link.href = "signin";
    link.textContent = "sign in";
    return [link];
  }
  const name = document.createElement("b");
  name.textContent = who.name;
  name.title = who.rights;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "sign out";
  button.addEventListener("click", async () => {
    await fetch("signout", { method: "POST", headers: { "X-Fleet-Proof": who.proof } });
    location.reload();
  });
  return [name, " ", button];
}

meet();
