// Push or poll: the same events, told by `/push` and asked for by `/time`. A pushed event is known when it comes; with
// polling it is known when the first answer comes that was given after it.
"use strict";

const KEPT = 60;

class Way {
  constructor(id) {
    this.root = at(id);
    this.requests = 0;
    this.bytes = 0;
    this.delays = [];
    this.sum = 0;
    this.known = 0;
  }

  tell(text) { this.root.querySelector(".told").textContent = text; }

  learn(delay) {
    this.delays.push(Math.max(0, delay));
    if (this.delays.length > KEPT) this.delays.shift();
    this.sum += Math.max(0, delay);
    this.known += 1;
  }

  show() {
    const set = (name, value) => { this.root.querySelector(`[data-value="${name}"]`).textContent = value; };
    set("requests", this.requests.toLocaleString());
    set("bytes", this.bytes.toLocaleString());
    set("delay", this.known ? `${Math.round(this.sum / this.known)} ms` : "–");
    this.chart();
  }

  // A bar for each event; both charts go up to a second.
  chart() {
    const canvas = this.root.querySelector("canvas");
    const dots = Math.min(window.devicePixelRatio || 1, 3);
    const [width, height] = [canvas.clientWidth * dots, canvas.clientHeight * dots];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    context.clearRect(0, 0, width, height);
    context.fillStyle = color("--line");
    for (const part of [0, .5, 1]) context.fillRect(0, Math.round((height - dots) * (1 - part)), width, dots);
    context.fillStyle = color(this.root.id === "push" ? "--good" : "--wait");
    const step = width / KEPT;
    this.delays.forEach((delay, index) => {
      const tall = Math.max(2 * dots, Math.min(1, delay / 1000) * height);
      context.beginPath();
      context.roundRect(index * step + step * .15, height - tall, step * .7, tall, Math.min(step * .3, tall / 2));
      context.fill();
    });
  }
}

const push = new Way("push");
const poll = new Way("poll");
// When events were that polling does not know of yet, by the server's clock.
let unknown = [];

keepConnected("/push", (text) => {
  const now = Date.now();
  const event = Date.parse(text);
  // A frame of a server has two bytes before so short a text.
  push.bytes += text.length + 2;
  push.learn(now - event);
  push.tell(`told ${new Date(event).toLocaleTimeString()}`);
  push.show();
  unknown.push(event);
  unknown = unknown.slice(-KEPT);
});
push.requests = 1;

async function ask() {
  const url = new URL(`/time?${poll.requests}`, location.href).href;
  poll.requests += 1;
  try {
    const answer = await fetch(url, { cache: "no-store" });
    const text = await answer.text();
    const now = Date.now();
    const told = Date.parse(text);
    for (const event of unknown.filter((event) => event <= told)) poll.learn(now - event);
    unknown = unknown.filter((event) => event > told);
    // With its head, where the browser says how long that was.
    const entry = performance.getEntriesByName(url).at(-1);
    poll.bytes += entry?.transferSize || text.length;
    performance.clearResourceTimings();
    poll.tell(`asked, and told ${new Date(told).toLocaleTimeString()}`);
  } catch {
    poll.tell("asked, and not answered");
  }
  poll.show();
}

// Once in each second, at any time of it: at the same time one page would always learn at once, and another last.
let second = performance.now();

function plan() {
  second += 1000;
  const wait = second + 1000 * Math.random() - performance.now();
  setTimeout(() => { ask(); plan(); }, Math.max(wait, 0));
}

ask();
plan();
window.addEventListener("resize", () => { push.show(); poll.show(); });
push.show();
