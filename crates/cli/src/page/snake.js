// The page of the game: shows the field that the server sends, and sends the player's turns.
"use strict";

const COLORS = ["#d9503f", "#e08a2e", "#c9a227", "#4aa564", "#2f9aa0", "#4484d4", "#8b6be0", "#c75a9c"];

let size = { width: 40, height: 30 };
let field = { food: [], snakes: [] };
let self = null;

const canvas = at("field").getContext("2d");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- The field ------------------------------------------------------------------------------------

function show() {
  const { width, height } = canvas.canvas;
  const cell = width / size.width;
  canvas.clearRect(0, 0, width, height);
  canvas.fillStyle = style("--cell");
  const dot = Math.max(1, cell * .12);
  for (let x = 0; x < size.width; x += 1) {
    for (let y = 0; y < size.height; y += 1) {
      canvas.fillRect((x + .5) * cell - dot / 2, (y + .5) * cell - dot / 2, dot, dot);
    }
  }
  canvas.fillStyle = style("--accent");
  for (let i = 0; i < field.food.length; i += 2) {
    disc(field.food[i], field.food[i + 1], cell, .36);
  }
  for (const snake of field.snakes) showSnake(snake, cell);
}

function disc(x, y, cell, part) {
  canvas.beginPath();
  canvas.arc((x + .5) * cell, (y + .5) * cell, cell * part, 0, 2 * Math.PI);
  canvas.fill();
}

function showSnake({ id, color, body }, cell) {
  if (!body.length) return;
  canvas.strokeStyle = canvas.fillStyle = COLORS[color];
  canvas.lineWidth = cell * .78;
  canvas.lineCap = canvas.lineJoin = "round";
  canvas.beginPath();
  for (let i = 0; i < body.length; i += 2) {
    const [x, y] = [(body[i] + .5) * cell, (body[i + 1] + .5) * cell];
    // A snake that crosses the border continues on the other side.
    const near = i && Math.abs(body[i] - body[i - 2]) + Math.abs(body[i + 1] - body[i - 1]) <= 1;
    if (near) canvas.lineTo(x, y);
    else { canvas.moveTo(x, y); canvas.lineTo(x, y); }
  }
  canvas.stroke();
  // The face shows the direction. The player's own snake has a ring.
  const [x, y] = body;
  if (id === self) {
    canvas.strokeStyle = style("--text");
    canvas.lineWidth = Math.max(1.5, cell * .12);
    canvas.beginPath();
    canvas.arc((x + .5) * cell, (y + .5) * cell, cell * .5, 0, 2 * Math.PI);
    canvas.stroke();
  }
  canvas.fillStyle = "#fff";
  disc(x, y, cell, .22);
  canvas.fillStyle = "#1f2023";
  disc(x, y, cell, .12);
}

function showScores() {
  const ranked = [...field.snakes].sort((a, b) => b.score - a.score || a.id - b.id);
  at("scores").replaceChildren(...ranked.map(({ id, color, score, best, alive }) => {
    const item = element("li", id === self ? "you" : "");
    item.classList.toggle("dead", !alive);
    const mark = element("span", "mark");
    mark.style.background = COLORS[color];
    const who = element("span", "who", id === self ? "You" : `Snake ${id}`);
    item.append(mark, who, element("span", "best", `best ${best}`), element("b", "", score));
    return item;
  }));
}

function element(name, kind, text = "") {
  const made = document.createElement(name);
  made.className = kind;
  made.textContent = text;
  return made;
}

fit(at("sheet"), size.width, size.height, show);

// ---- The server's messages --------------------------------------------------------------------------

let ranking = "";

const send = keepConnected("/snake", (text) => {
  const event = JSON.parse(text);
  if (event.type === "welcome") {
    size = { width: event.width, height: event.height };
    self = event.you;
  } else if (event.type === "field") {
    field = event;
    requestAnimationFrame(show);
    const now = JSON.stringify(field.snakes.map(({ id, score, best, alive }) => [id, score, best, alive]));
    if (now !== ranking) {
      ranking = now;
      showScores();
    }
  }
}, () => { field = { food: [], snakes: [] }; ranking = ""; showScores(); show(); });

// ---- The player's turns -----------------------------------------------------------------------------

const KEYS = {
  ArrowUp: "n", ArrowRight: "e", ArrowDown: "s", ArrowLeft: "w",
  KeyW: "n", KeyD: "e", KeyS: "s", KeyA: "w",
};

window.addEventListener("keydown", (event) => {
  const turn = KEYS[event.code];
  if (!turn || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!event.repeat) send(turn);
});

at("pad").addEventListener("pointerdown", (event) => {
  const turn = event.target.closest("button")?.dataset.turn;
  if (!turn) return;
  event.preventDefault();
  send(turn);
});

// A button that the keyboard presses has no pointer event.
at("pad").addEventListener("click", (event) => {
  const turn = event.target.closest("button")?.dataset.turn;
  if (turn && event.detail === 0) send(turn);
});

// A swipe turns as soon as it is long enough. The next turn is measured from there.
const LONG = 22;
let from = null;

at("field").addEventListener("pointerdown", (event) => {
  from = [event.clientX, event.clientY];
  at("field").setPointerCapture(event.pointerId);
});

at("field").addEventListener("pointermove", (event) => {
  if (!from) return;
  const [x, y] = [event.clientX - from[0], event.clientY - from[1]];
  if (Math.max(Math.abs(x), Math.abs(y)) < LONG) return;
  send(Math.abs(x) > Math.abs(y) ? (x > 0 ? "e" : "w") : (y > 0 ? "s" : "n"));
  from = [event.clientX, event.clientY];
});

for (const end of ["pointerup", "pointercancel"]) {
  at("field").addEventListener(end, () => { from = null; });
}
