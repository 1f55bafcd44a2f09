// A process of clients of topics in Node. It does what the process in Rust does, and writes the same log.

import { createWriteStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { Sockeye } = await import(pathToFileURL(process.env.SOCKEYE_CLIENT));
const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const out = createWriteStream(config.log);
const HELD_TOPICS = 6;

let last = 0;
let isBusy = true;
let isOver = false;

function note(client, line) {
  last = Math.max(last, Date.now());
  out.write(`${JSON.stringify({ t: last, c: client, ...line })}\n`);
}

/** Random numbers that follow from a seed: mulberry32. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

const clients = Array.from({ length: config.clients }, (_, number) => run(number));

function run(number) {
  const chance = random(config.seed + number * 7919);
  const pick = (things) => things[Math.floor(chance() * things.length)];
  const held = new Map(); // subscriptions by the number of their topic
  const left = new Map(); // positions
  let isOpen = false;
  let socket;
  let isPlaced = false;

  /** A connection that the run can cut. */
  class Cuttable extends WebSocket {
    constructor(...all) {
      super(...all);
      socket = this;
    }
    cut() {
      note(number, { e: "cut" });
      const { onclose } = this;
      this.onclose = this.onmessage = null;
      this.close();
      onclose?.({ code: 1006, reason: "" });
    }
  }

  const sockeye = new Sockeye(async () => `ws://${pick(config.nodes)}/topics`, { WebSocket: Cuttable });
  sockeye.onstate = (state, why) => {
    if (state === "open") {
      isOpen = true;
      isPlaced = false;
      note(number, { e: "open" });
      for (const topic of held.keys()) note(number, { e: "ask", topic });
    } else if (isOpen) {
      isOpen = false;
      note(number, { e: "shut" });
    }
    if (state === "closed" && !isOver) fail(`client ${number} was closed for good: ${JSON.stringify(why)}`);
  };

  function join() {
    const topic = pick(config.topics.keys().filter((topic) => !held.has(topic)).toArray());
    const options = {};
    const kind = Math.floor(chance() * 3);
    if (kind === 1 && left.has(topic)) options.after = left.get(topic);
    else if (kind > 0) options.recent = 8;
    if (config.with_members.includes(topic)) options.member = { client: number };
    if (isOpen) note(number, { e: "ask", topic });
    const subscription = sockeye.subscribe(config.topics[topic], options);
    held.set(topic, subscription);
    let after = options.after ?? null;
    let isKnown = false;
    let isTold = false;
    let replay = 0;
    subscription.onsubscribed = ({ recovered, missed, position }) => {
      const at = position ?? null;
      const answer = after === null ? null : recovered ?? null;
      note(number, { e: "sub", topic, after, at, recovered: answer, missed: missed ?? 0 });
      if (!isPlaced) note(number, { e: "at", node: sockeye.hello.node });
      isPlaced = true;
      if (config.with_members.includes(topic)) {
        note(number, { e: "in", topic, me: sockeye.hello.me, node: sockeye.hello.node });
      }
      // The client calls `onlost` after such an answer, for the same loss. Another loss may come in the same bytes.
      isTold = (after !== null || isKnown) && recovered !== true;
      isKnown = true;
      after = at;
      replay = missed ?? 0;
    };
    subscription.onmessage = (message) => {
      const { p, n } = message.json();
      after = message.position ?? after;
      note(number, { e: "msg", topic, at: message.position ?? null, p, n, replayed: replay > 0 });
      replay = Math.max(0, replay - 1);
    };
    subscription.onlost = () => {
      after = subscription.position ?? after;
      if (!isTold) note(number, { e: "lost", topic, at: subscription.position ?? null });
      isTold = false;
    };
    subscription.onended = (why) => fail(`${config.topics[topic]} was ended: ${JSON.stringify(why)}`);
    // A join that is delayed counts as not answered.
    subscription.onerror = () => {};
  }

  function leave() {
    const topic = pick([...held.keys()]);
    const subscription = held.get(topic);
    held.delete(topic);
    if (subscription.position) left.set(topic, subscription.position);
    subscription.unsubscribe();
    if (isOpen) note(number, { e: "end", topic });
  }

  function whim() {
    if (!isBusy) return;
    if (chance() < 0.1) socket?.cut();
    else {
      leave();
      join();
    }
    setTimeout(whim, 500 + chance() * 3500);
  }

  while (held.size < HELD_TOPICS) join();
  setTimeout(whim, 500 + chance() * 3500);
  return { cut: () => socket?.cut(), close: () => sockeye.close() };
}

function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exitCode = 1;
}

function end() {
  if (isOver) return;
  isOver = true;
  isBusy = false;
  out.end(() => process.exit());
}

createInterface({ input: process.stdin })
  .on("line", (word) => {
    if (word === "calm") isBusy = false;
    if (word === "reconnect") clients.forEach((client) => client.cut());
    if (word === "end") end();
  })
  .on("close", end);
