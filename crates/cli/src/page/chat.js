// The page of the chat. Four parts: the connection, the people, the log, and the user's actions.
// Text from other people becomes text in the page, never HTML.
import { Sockeye } from "/sockeye.js";

const at = (id) => document.getElementById(id);
const fields = { name: at("name"), room: at("room"), text: at("text") };

// ---- The connection -----------------------------------------------------------------------------
//
//   closed ── join ──▶ connecting ── open ──▶ open
//                        ▲   │                  │ closed by the server, or lost
//                        │   └──── fails ───▶ waiting ── the delay is over, or the network is back ──┐
//                        └──────────────────────────────────────────────────────────────────────────┘
//
// The client of topics connects again by itself, and asks for the messages after the last one that came. Events of the room
// come by its topic. The welcome and errors are for this page alone.

let wanted = null; // { room, name }: the room to join, and the name to join with
let client = null;
let topic = null; // The subscription to the room's topic, after the first welcome.
let isIn = false; // The server has let this connection in.
let timer = 0;

function join(room, name) {
  const isSame = wanted?.room === room;
  wanted = { room, name };
  remember(wanted);
  show(room);
  connect(isSame ? topic?.position : undefined);
}

// `position`: where the page was in the room's topic before, so it gets what it missed.
function connect(position) {
  leave();
  const mine = client = new Sockeye(address);
  const isMine = () => mine === client;
  mine.onstate = (state, why) => { if (isMine()) changed(state, why); };
  mine.onmessage = (message) => {
    if (!isMine()) return;
    const event = message.json();
    if (event.type === "welcome") welcome(event, position);
    else receive(event);
  };
  changed(mine.state);
}

function address() {
  const url = new URL(`/chat/${encodeURIComponent(wanted.room)}`, location.href);
  if (wanted.name) url.searchParams.set("name", wanted.name);
  return url;
}

// Events of an older connection are ignored.
function leave() {
  clearTimeout(timer);
  const old = client;
  client = topic = null;
  isIn = false;
  old?.close();
}

function changed(state, why) {
  clearTimeout(timer);
  if (state === "waiting" || state === "closed") lose(state, why);
  if (state === "waiting") count(Date.now() + why.pause);
  // Open is the state once the server has let this page in.
  else if (state !== "open") setState(state);
}

function lose(state, { code, reason }) {
  // The list of people is unknown from now on.
  setPeople([]);
  if (isIn) note(`Disconnected${reason ? `: ${reason}` : ""} (${code})`);
  // A full room has a free place when a member leaves.
  else if (reason) complain(`Cannot join: ${reason}.${state === "waiting" ? " This page tries again." : ""}`);
  isIn = false;
}

// Shows the time until the client connects again.
function count(due) {
  const left = due - Date.now();
  setState("waiting", "reconnecting");
  at("due").textContent = left > 0 ? `in ${Math.ceil(left / 1000)} s` : "";
  if (left > 0) timer = setTimeout(count, Math.min(left, 1000), due);
}

function setState(state, text = state) {
  at("pill").dataset.state = state;
  if (state !== "waiting") at("due").textContent = "";
  // Screen readers read each change aloud.
  if (at("state").textContent !== text) at("state").textContent = text;
  updateSend();
}

window.addEventListener("online", () => { if (client?.state === "waiting") connect(topic?.position); });

// The browser may keep a page after the user leaves it. The connection is closed, so that the user leaves the room.
let kept;
window.addEventListener("pagehide", () => {
  kept = topic?.position;
  leave();
});
window.addEventListener("pageshow", ({ persisted }) => { if (persisted && wanted) connect(kept); });

function say(message) {
  if (!isIn || client.state !== "open") return false;
  client.send(JSON.stringify(message));
  return true;
}

// ---- The room's topic ---------------------------------------------------------------------------

const MAX_HISTORY = 50;

let listedAt = 0; // The offset for which the list of the welcome is right.
let replay = 0; // The number of old events that follow.
let away = null; // While events follow that this page missed: their note, and the number of messages.
const own = new Set(); // The ids that this page has had.

function subscribe(name, position) {
  const mine = topic = client.subscribe(name, { recent: MAX_HISTORY, after: position });
  const isMine = () => mine === topic;
  mine.onsubscribed = ({ recovered, missed }) => {
    if (!isMine()) return;
    replay = missed;
    away = recovered ? { note: null, count: 0 } : null;
    // After this, the client calls onlost if messages are missing.
    if (!replay) queueMicrotask(arrived);
  };
  mine.onmessage = (message) => {
    if (!isMine()) return;
    hear(message.json(), offset(message.position));
    if (replay && !--replay) arrived();
  };
  mine.onlost = () => { if (isMine()) tellLost(); };
  mine.onerror = ({ message }) => { if (isMine()) complain(message); };
  mine.onended = ({ message }) => { if (isMine()) complain(`The messages of the room have ended: ${message}.`); };
}

// A position is "epoch:offset:id".
function offset(position) {
  return Number(position?.split(":")[1] ?? 0);
}

function hear(event, offset) {
  if (replay && event.type === "message") countMissed(event);
  // Who came and went before this page entered is not worth a line.
  const isNews = !replay || away;
  receive(event, offset > listedAt, isNews && !own.has(event.id));
}

function countMissed({ id }) {
  if (!away || own.has(id)) return;
  away.note ??= note("");
  away.count += 1;
  away.note.textContent = away.count === 1 ? "1 message while you were away" : `${away.count} messages while you were away`;
}

function tellLost() {
  // What comes from now on is newer than the list, also if the positions began anew.
  listedAt = 0;
  last = { from: null, time: 0 };
  add(element("li", "note rule", "Some messages are missing"), false);
}

// The page has all messages up to its own arrival.
function arrived() {
  replay = 0;
  away = null;
  note(people.length > 1 ? `You joined as ${self}` : `You joined as ${self}. You are the first one here`);
}

// `isChange`: the list of people does not have the event yet. `isNews`: a line in the log tells it.
function receive(event, isChange = true, isNews = true) {
  switch (event.type) {
    case "people":
      if (isChange) setPeople(event.people, event.more);
      break;
    case "joined":
      if (isChange) setPeople([...people, event.name], others);
      if (isNews) note(`${event.name} joined`);
      break;
    case "left":
      if (isChange) drop(event.name);
      if (isNews) note(`${event.name} left`);
      break;
    case "renamed":
      if (isChange) renamed(event);
      else if (isNews) note(`${event.from} is now ${event.to}`);
      break;
    case "message":
      showMessage(event);
      break;
    case "error":
      complain(event.message);
      if (event.code === "unavailable") giveBack();
      break;
  }
}

// ---- The people ---------------------------------------------------------------------------------

// The server lists at most 100 names, and counts the others.
let people = [];
let others = 0;
let self = "";

function welcome(event, position) {
  isIn = true;
  self = event.name;
  own.add(event.id);
  listedAt = offset(event.at);
  fields.name.value = self;
  // A guest keeps its name. A name with a number asks for the name without the number, in case it becomes free.
  wanted.name ||= self;
  remember(wanted);
  complain("");
  setPeople(event.people, event.more);
  setState("open");
  // The client keeps the subscription when it connects again.
  if (!topic) subscribe(event.history, position);
}

// For a moment two members may have one name. The later one changes it, or leaves.
function drop(name) {
  const index = people.lastIndexOf(name);
  if (index < 0) setPeople(people, others - 1);
  else setPeople(people.toSpliced(index, 1), others);
}

function renamed({ from, to, id }) {
  const isMine = own.has(id);
  if (isMine) self = to;
  const index = people.lastIndexOf(from);
  setPeople(index < 0 ? people : people.with(index, to), others);
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
  const item = element("li", "note", text);
  add(item, false);
  return item;
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

let sent = ""; // The text that was sent last.

// The room did not take the text: the user may send it again.
function giveBack() {
  fields.text.value ||= sent;
  sent = "";
  fit();
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = fields.text.value;
  if (!text.trim() || !say({ type: "message", text })) return;
  sent = text;
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
  at("send").disabled = !isIn;
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
