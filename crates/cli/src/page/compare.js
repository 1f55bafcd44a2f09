// Push or poll: the same events, pushed by `/push` and polled from `/time`. The page knows a pushed event when it
// arrives. It knows a polled event when the first response arrives that the server gave after the event.
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

  // One bar for each event. Both charts go up to one second.
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
// The times, by the server's clock, of the events that polling does not know yet.
let unknown = [];

keepConnected("/push", (text) => {
  const now = Date.now();
  const event = Date.parse(text);
  // A server's frame has a header of two bytes before such a short text.
  push.bytes += text.length + 2;
  push.learn(now - event);
  push.tell(`received ${new Date(event).toLocaleTimeString()}`);
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
    // Includes the head of the response, if the browser reports its size.
    const entry = performance.getEntriesByName(url).at(-1);
    poll.bytes += entry?.transferSize || text.length;
    performance.clearResourceTimings();
    poll.tell(`asked, and received ${new Date(told).toLocaleTimeString()}`);
  } catch {
    poll.tell("asked, and not answered");
  }
  poll.show();
}

// Polls once in each second, at a random time of it. With a fixed time, one page would always be early and another late.
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
