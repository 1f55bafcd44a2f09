// The chat's page. Four parts: the connection, the people, the log, and what somebody does.
// Text of others gets into the page as text only, never as HTML.
"use strict";

const at = (id) => document.getElementById(id);
const fields = { name: at("name"), room: at("room"), text: at("text") };

// ---- The connection -----------------------------------------------------------------------------
//
//   closed ── join ──▶ connecting ── open ──▶ open
//                        ▲   │                  │ closed by the server, or lost
//                        │   └──── fails ───▶ waiting ── the delay is over, or the network is back ──┐
//                        └──────────────────────────────────────────────────────────────────────────┘

const FIRST_DELAY = 500;
const LAST_DELAY = 30_000;
// A connection that held this long starts the delays anew.
const STABLE = 10_000;

let wanted = null; // { room, name }: where this page wants to be
let socket = null;
let isIn = false; // The server has let this connection in.
let attempts = 0;
let timer = 0;

function join(room, name) {
  wanted = { room, name };
  attempts = 0;
  remember(wanted);
  show(room);
  connect();
}

function connect() {
  clearTimeout(timer);
  // What an older connection still has to say is of no interest.
  const old = socket;
  socket = null;
  old?.close(1000);
  setState("connecting");
  const url = new URL(`/chat/${encodeURIComponent(wanted.room)}`, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  if (wanted.name) url.searchParams.set("name", wanted.name);
  const mine = new WebSocket(url);
  socket = mine;
  let opened = 0;
  isIn = false;
  mine.onopen = () => { opened = Date.now(); };
  mine.onmessage = ({ data }) => { if (mine === socket) receive(JSON.parse(data)); };
  mine.onclose = ({ code, reason }) => {
    if (mine !== socket) return;
    socket = null;
    if (opened && Date.now() - opened > STABLE) attempts = 0;
    // Who is here now is not known.
    setPeople([]);
    if (isIn) note(`Disconnected${reason ? `: ${reason}` : ""} (${code})`);
    // A room that is full has a place again when a member leaves.
    else if (reason) complain(`Not in the room: ${reason}. This page tries again.`);
    wait();
  };
}

// Exponential backoff with full jitter: many who lose a server do not all come back at once.
function wait() {
  const limit = Math.min(LAST_DELAY, FIRST_DELAY * 2 ** attempts);
  attempts += 1;
  const due = Date.now() + Math.random() * limit;
  const tick = () => {
    const left = due - Date.now();
    if (left <= 0) return connect();
    setState("waiting", "reconnecting");
    at("due").textContent = `in ${Math.ceil(left / 1000)} s`;
    timer = setTimeout(tick, Math.min(left, 1000));
  };
  tick();
}

function setState(state, text = state) {
  at("pill").dataset.state = state;
  at("due").textContent = "";
  // It is read out when it changes.
  if (at("state").textContent !== text) at("state").textContent = text;
  updateSend();
}

window.addEventListener("online", () => { if (wanted && !socket) connect(); });

// A page that is left may be kept for whoever comes back, and its connection with it: who is not here is not in the room.
window.addEventListener("pagehide", () => {
  clearTimeout(timer);
  const old = socket;
  socket = null;
  old?.close(1000);
});
window.addEventListener("pageshow", ({ persisted }) => { if (persisted && wanted) connect(); });

function say(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function receive(event) {
  switch (event.type) {
    case "welcome":
      welcome(event);
      break;
    case "people":
      setPeople(event.people, event.more);
      break;
    case "joined":
      setPeople([...people, event.name], others);
      note(`${event.name} joined`);
      break;
    case "left":
      if (people.includes(event.name)) setPeople(people.filter((name) => name !== event.name), others);
      else setPeople(people, others - 1);
      note(`${event.name} left`);
      break;
    case "renamed":
      renamed(event);
      break;
    case "message":
      showMessage(event);
      break;
    case "error":
      complain(event.message);
      break;
  }
}

// ---- The people ---------------------------------------------------------------------------------

// The server lists at most 100 names, and counts the others.
let people = [];
let others = 0;
let self = "";

function welcome(event) {
  isIn = true;
  self = event.name;
  fields.name.value = self;
  // A guest stays the same one. Who got a number wants the name without it, once it is free.
  wanted.name ||= self;
  remember(wanted);
  complain("");
  setPeople(event.people, event.more);
  setState("open");
  note(people.length > 1 ? `You joined as ${self}` : `You joined as ${self}. Nobody else is here yet`);
}

function renamed({ from, to }) {
  const isMine = from === self;
  if (isMine) self = to;
  setPeople(people.map((name) => name === from ? to : name), others);
  if (isMine) {
    wanted.name = fields.name.value = to;
    remember(wanted);
    note(`You are ${to} now`);
  } else {
    note(`${from} is ${to} now`);
  }
}

// A list without this page's own name has it among the others.
function setPeople(listed, more = 0) {
  const isAmongOthers = more > 0 && self && !listed.includes(self);
  people = isAmongOthers ? [...listed, self] : listed;
  others = Math.max(0, isAmongOthers ? more - 1 : more);
  // A crowd that comes changes the list many times; once for each frame or so it is shown.
  peopleTimer ||= setTimeout(showPeople, 20);
}

let peopleTimer = 0;

function showPeople() {
  peopleTimer = 0;
  at("count").textContent = people.length + others || "";
  const items = people.map((name) => {
    const item = element("li", "", face(name), element("span", "who", name));
    if (name === self) item.append(element("span", "you", "you"));
    return item;
  });
  if (others) items.push(element("li", "", element("span", "who", `and ${others} more`)));
  at("people").replaceChildren(...items);
}

function face(name) {
  const mark = element("span", "face", [...name][0].toLocaleUpperCase());
  let sum = 0;
  for (const c of name) sum = (sum * 31 + c.codePointAt(0)) % 65536;
  mark.dataset.hue = sum % 8;
  mark.setAttribute("aria-hidden", "true");
  return mark;
}

// ---- The log ------------------------------------------------------------------------------------

const MAX_ENTRIES = 500;
// Messages of one person this close to each other stand together.
const TOGETHER = 3 * 60_000;

const log = at("log");
let last = { from: null, time: 0 };
let unread = 0;

function showMessage({ from, text, time }) {
  const when = new Date(time);
  const mine = from === self;
  const more = last.from === from && when - last.time < TOGETHER;
  last = { from, time: when };
  const clock = element("time", "", when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  clock.dateTime = time;
  const item = element("li", `said${mine ? " mine" : ""}${more ? " more" : ""}`,
    face(from), element("div", "by", element("b", "", from), clock), element("div", "bubble", text));
  add(item, mine);
  if (document.hidden) {
    unread += 1;
    showTitle();
  }
}

function note(text) {
  last = { from: null, time: 0 };
  add(element("li", "note", text), false);
}

function add(item, follow) {
  const atEnd = follow || isAtEnd();
  log.append(item);
  while (log.childElementCount > MAX_ENTRIES) log.firstElementChild.remove();
  if (atEnd) scrollToEnd();
  else at("latest").hidden = false;
}

function isAtEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}

function scrollToEnd() {
  log.scrollTop = log.scrollHeight;
  at("latest").hidden = true;
}

function showTitle() {
  const count = unread ? `(${unread}) ` : "";
  document.title = wanted ? `${count}#${wanted.room} · Sockeye` : "Sockeye chat";
}

function element(name, kind, ...content) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...content);
  return made;
}

log.addEventListener("scroll", () => { if (isAtEnd()) at("latest").hidden = true; });
at("latest").addEventListener("click", scrollToEnd);
new ResizeObserver(((wasAtEnd) => () => {
  if (wasAtEnd) scrollToEnd();
  wasAtEnd = isAtEnd();
})(true)).observe(log);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unread = 0;
  showTitle();
});

// ---- What somebody does -------------------------------------------------------------------------

const wide = matchMedia("(min-width: 721px)");

function show(room) {
  const isNew = at("title").textContent !== room;
  document.body.dataset.view = "room";
  openMenu(false);
  at("join").textContent = "Change";
  at("title").textContent = room;
  fields.room.value = room;
  fields.name.value = wanted.name;
  showTitle();
  if (isNew) {
    log.replaceChildren();
    last = { from: null, time: 0 };
    setPeople([]);
  }
  complain("");
  // On a phone this would call up the keyboard over the talk.
  if (wide.matches) fields.text.focus();
}

// Dots alone are no room: in an address they mean another place, however they are written.
function isRoom(room) {
  return room !== "" && room !== "." && room !== "..";
}

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  const [room, name] = [fields.room.value.trim(), fields.name.value.trim()];
  if (!isRoom(room)) return fields.room.focus();
  const stays = wanted?.room === room && name && say({ type: "name", name });
  if (!stays) return join(room, name);
  openMenu(false);
  complain("");
  if (wide.matches) fields.text.focus();
});

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = fields.text.value;
  if (!text.trim() || !say({ type: "message", text })) return;
  fields.text.value = "";
  complain("");
  fit();
  updateSend();
  fields.text.focus();
});

fields.text.addEventListener("keydown", (event) => {
  // Enter that ends the choice of a character is no wish to send.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("composer").requestSubmit();
});

fields.text.addEventListener("input", () => {
  fit();
  updateSend();
});

// The field grows with its text, up to what the style sheet allows.
function fit() {
  fields.text.style.height = "auto";
  fields.text.style.height = `${fields.text.scrollHeight}px`;
}

function updateSend() {
  at("send").disabled = socket?.readyState !== WebSocket.OPEN;
}

function complain(text) {
  at("error").textContent = text;
  at("error").hidden = !text;
}

function openMenu(open) {
  document.body.classList.toggle("menu", open);
  at("menu").setAttribute("aria-expanded", open);
}

at("menu").addEventListener("click", () => openMenu(!document.body.classList.contains("menu")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !document.body.classList.contains("menu")) return;
  openMenu(false);
  at("menu").focus();
});

// A window that is reloaded is where it was. The address names the room, to be given to others; the name
// is its owner's.
const KEY = "sockeye.chat";

function remember({ room, name }) {
  history.replaceState(null, "", `/?room=${encodeURIComponent(room)}`);
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ room, name }));
  } catch { /* Storage is off: then it is not remembered. */ }
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

function start() {
  const query = new URLSearchParams(location.search);
  const before = remembered();
  const room = (query.get("room") ?? "").trim();
  const name = (query.get("name") ?? "").trim();
  if (isRoom(room) && name) return join(room, name);
  if (isRoom(room) && room === before.room) return join(room, before.name);
  if (room) fields.room.value = room;
  fields.name.value = name || before.name || "";
  fields.name.focus();
}

start();
