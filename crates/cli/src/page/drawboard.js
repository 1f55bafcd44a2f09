// The page of the drawboard. A stroke that is drawn here appears at once, on a canvas above the picture. It moves into
// the picture when the server sends it back. So all pages show the same picture, also when several people draw at once.
"use strict";

const INKS = ["#22252b", "#d33f2e", "#e8862a", "#e6b822", "#3a9a55", "#2b8f96", "#3273c4", "#8a4fb5", "#fffefb"];
const INK_NAMES = ["Black", "Red", "Orange", "Yellow", "Green", "Teal", "Blue", "Violet", "Rubber"];
const NIBS = [3, 8, 18, 44];
const PAPER = INKS.length - 1;
// The number of points in one message, and the time between two messages.
const MAX_POINTS = 200;
const PERIOD = 40;

let size = { width: 1600, height: 1200 };
let strokes = []; // the picture
let waiting = []; // strokes that were drawn here, and that the server has not sent back yet
let stroke = null; // the stroke that is being drawn
let pointer = null;
let timer = 0;
let self = null;
let tag = 0;

const picture = at("picture").getContext("2d");
const mine = at("mine").getContext("2d");
// The rubber draws in the colour of the paper, which differs between light and dark.
const paper = () => getComputedStyle(at("sheet")).backgroundColor;

// ---- The picture ----------------------------------------------------------------------------------

function trace(canvas, { color, width, points }) {
  const scale = canvas.canvas.width / size.width;
  canvas.lineCap = canvas.lineJoin = "round";
  canvas.lineWidth = Math.max(1, width * scale);
  canvas.strokeStyle = color === PAPER ? paper() : INKS[color];
  canvas.beginPath();
  canvas.moveTo(points[0] * scale, points[1] * scale);
  // A single point is drawn as a line without length.
  if (points.length === 2) canvas.lineTo(points[0] * scale, points[1] * scale);
  for (let i = 2; i < points.length; i += 2) canvas.lineTo(points[i] * scale, points[i + 1] * scale);
  canvas.stroke();
}

function wipe(canvas) {
  canvas.clearRect(0, 0, canvas.canvas.width, canvas.canvas.height);
}

function showPicture() {
  wipe(picture);
  for (const stroke of strokes) trace(picture, stroke);
}

function showMine() {
  wipe(mine);
  for (const stroke of waiting) trace(mine, stroke);
  if (stroke) trace(mine, stroke);
}

fit(at("sheet"), size.width, size.height, () => { showPicture(); showMine(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { showPicture(); showMine(); });

// ---- The server's messages --------------------------------------------------------------------------

const send = keepConnected("/drawboard", (text) => {
  const event = JSON.parse(text);
  switch (event.type) {
    case "welcome":
      size = { width: event.width, height: event.height };
      self = event.you;
      strokes = event.strokes;
      waiting = [];
      at("people").textContent = event.people;
      showPicture();
      showMine();
      break;
    case "drawn":
      strokes.push(event);
      if (event.dropped) {
        strokes.splice(0, event.dropped);
        showPicture();
      } else {
        trace(picture, event);
      }
      if (event.by === self) {
        waiting = waiting.filter((stroke) => stroke.tag !== event.tag);
        showMine();
      }
      break;
    case "cleared":
      strokes = [];
      showPicture();
      break;
    case "people":
      at("people").textContent = event.people;
      break;
  }
}, () => { waiting = []; at("people").textContent = 0; showMine(); });

// ---- Drawing ----------------------------------------------------------------------------------------

function pointOf(event) {
  const box = at("sheet").getBoundingClientRect();
  const within = (part, length) => Math.round(Math.min(Math.max(part, 0), 1) * length);
  return [within((event.clientX - box.left) / box.width, size.width),
    within((event.clientY - box.top) / box.height, size.height)];
}

function begin(points) {
  const color = Number(new FormData(at("tools")).get("ink"));
  const width = Number(new FormData(at("tools")).get("nib"));
  stroke = { color, width, points };
}

// Sends the points so far. The next message continues at the last point.
function flush(goesOn) {
  clearTimeout(timer);
  timer = 0;
  if (!stroke) return;
  const done = stroke;
  tag = (tag + 1) % 2 ** 32;
  done.tag = tag;
  if (send(JSON.stringify({ type: "draw", ...done }))) waiting.push(done);
  if (goesOn) begin(done.points.slice(-2));
  else stroke = null;
  showMine();
}

const canvas = at("mine");

canvas.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  event.preventDefault();
  pointer = event.pointerId;
  canvas.setPointerCapture(pointer);
  begin(pointOf(event));
  showMine();
  timer = setTimeout(() => flush(true), PERIOD);
});

canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer || !stroke) return;
  // The browser reports all points of the way, also between two slow frames.
  const way = event.getCoalescedEvents?.() ?? [];
  for (const step of way.length ? way : [event]) {
    const [x, y] = pointOf(step);
    const last = stroke.points;
    if (last.at(-2) === x && last.at(-1) === y) continue;
    last.push(x, y);
    if (last.length >= 2 * MAX_POINTS) flush(true);
  }
  showMine();
  // While the pointer rests, the page sends nothing.
  if (!timer) timer = setTimeout(() => flush(true), PERIOD);
});

function end(event) {
  if (event.pointerId !== pointer) return;
  pointer = null;
  flush(false);
}

canvas.addEventListener("pointerup", end);
canvas.addEventListener("pointercancel", end);

// ---- The tools ---------------------------------------------------------------------------------------

function choice(name, value, label, mark, checked) {
  const item = document.createElement("label");
  const input = document.createElement("input");
  const shown = document.createElement("span");
  Object.assign(input, { type: "radio", name, value, checked, title: label });
  input.setAttribute("aria-label", label);
  shown.className = mark;
  shown.dataset[name === "ink" ? "color" : "width"] = value;
  item.append(input, shown);
  return item;
}

at("inks").append(...INKS.map((_, color) => choice("ink", color, INK_NAMES[color], "ink", color === 6)));
at("nibs").append(...NIBS.map((width) => choice("nib", width, `${width} wide`, "nib", width === 8)));
at("clear").addEventListener("click", () => send(JSON.stringify({ type: "clear" })));
