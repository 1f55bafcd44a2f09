// The page of the chat. Four parts: the connection, the people, the log, and the user's actions.
// Text from other people becomes text in the page, never HTML.
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
// A connection that lasted this long resets the delay.
const STABLE = 10_000;

let wanted = null; // { room, name }: the room to join, and the name to join with
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
  // Events of an older connection are ignored.
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
    // The list of people is unknown from now on.
    setPeople([]);
    if (isIn) note(`Disconnected${reason ? `: ${reason}` : ""} (${code})`);
    // A full room has a free place when a member leaves.
    else if (reason) complain(`Cannot join: ${reason}. This page tries again.`);
    wait();
  };
}

// Exponential backoff with full jitter: the clients of a lost server do not all come back at once.
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
  // Screen readers read each change aloud.
  if (at("state").textContent !== text) at("state").textContent = text;
  updateSend();
}

window.addEventListener("online", () => { if (wanted && !socket) connect(); });

// The browser may keep a page after the user leaves it. The connection is closed, so that the user leaves the room.
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
  // A guest keeps its name. A name with a number asks for the name without the number, in case it becomes free.
  wanted.name ||= self;
  remember(wanted);
  complain("");
  setPeople(event.people, event.more);
  setState("open");
  note(people.length > 1 ? `You joined as ${self}` : `You joined as ${self}. You are the first one here`);
}

function renamed({ from, to }) {
  const isMine = from === self;
  if (isMine) self = to;
  setPeople(people.map((name) => name === from ? to : name), others);
  if (isMine) {
    wanted.name = fields.name.value = to;
    remember(wanted);
    note(`Your name is now ${to}`);
  } else {
    note(`${from} is now ${to}`);
  }
}

// If the list does not have this page's own name, the number of others includes it.
function setPeople(listed, more = 0) {
  const isAmongOthers = more > 0 && self && !listed.includes(self);
  people = isAmongOthers ? [...listed, self] : listed;
  others = Math.max(0, isAmongOthers ? more - 1 : more);
  // A crowd changes the list many times. The page shows it about once for each frame.
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
// Messages of one person within this time form a group.
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

// ---- The user's actions -------------------------------------------------------------------------

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
  // On a phone, the focus would open the keyboard over the chat.
  if (wide.matches) fields.text.focus();
}

// A room cannot be named "." or "..": in a URL they mean another path, also when they are percent-encoded.
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
  // An Enter that ends the composition of a character does not send.
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

// A reloaded window joins the same room. The URL names the room, for others to open. The name is kept in the
// window.
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
