// The conversations that the Rust client is tested with too, so both behave alike. The file explains its steps.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, test } from "node:test";

import { FakeServer, random, settle } from "./fake.js";

const fixture = new URL("../../../crates/pubsub/tests/wire/conversations.json", import.meta.url);
const { conversations } = JSON.parse(readFileSync(fixture));

afterEach(FakeServer.reset);

test("there are conversations", () => assert.ok(conversations.length > 0));

for (const { name, steps } of conversations) {
  test(`as the Rust client: ${name}`, async () => {
    random(0);
    const world = await World.begin();
    for (const step of steps) {
      const [[action, value]] = Object.entries(step);
      await world[action](value);
      await settle();
    }
    world.sent([]);
    world.events([]);
  });
}

/** A client, and what came out of it since the last look. It has a method for each step. */
class World {
  topics = new Map();
  noted = [];
  requests = 0;
  drawn = new Map(); // what stands for a text that begins with `$`

  static async begin() {
    const world = new World();
    world.server = new FakeServer();
    world.client = await world.server.client();
    world.client.onmessage = ({ data }) => world.noted.push({ app: toFixture(data) });
    return world;
  }

  // ---- What the application does

  subscribe({ topic: name, ...options }) {
    const topic = this.client.subscribe(name, options);
    const note = (event) => this.noted.push(event);
    this.topics.set(name, topic);
    topic.onmessage = ({ data, position = null }) => note({ message: name, body: toFixture(data), position });
    topic.onsubscribed = ({ recovered, missed, position = null }) =>
      note({ subscribed: name, recovered: recovered === true, missed, position });
    topic.onlost = () => note({ lost: name });
    topic.onstir = () => note({ stir: name });
    topic.onended = ({ code }) => note({ ended: name, code });
    topic.onerror = ({ code, retry }) => note({ delayed: name, code, retry });
  }

  unsubscribe(name) {
    this.topics.get(name).unsubscribe();
  }

  publish({ topic, body }) {
    const published = this.topics.get(topic).publish(fromFixture(body));
    this.#request(published, (number, { stored = null }) => ({ published: number, stored }));
  }

  members({ topic, max }) {
    const asked = this.topics.get(topic).members({ max });
    this.#request(asked, (number, { members, all }) => ({ members: number, list: members, all }));
  }

  count(topic) {
    this.#request(this.topics.get(topic).count(), (number, count) => ({ count: number, is: count }));
  }

  send(data) {
    this.client.send(fromFixture(data));
  }

  // ---- What the world does

  async open() {
    await this.server.pass(0);
    this.server.accept();
  }

  receive([header, body = ""]) {
    if (typeof body === "string") return this.server.send(header, body);
    const head = Buffer.from(`${header && JSON.stringify(header)}\n`);
    this.server.sendRaw(Buffer.concat([head, fromFixture(body)]));
  }

  receive_raw(frame) {
    this.server.sendRaw(fromFixture(frame));
  }

  async close(code) {
    await this.server.pass(0);
    this.server.close(code);
  }

  pass(time) {
    return this.server.pass(time);
  }

  random(value) {
    random(value);
  }

  // ---- What is expected

  sent(expected) {
    const frames = this.server.sockets.flatMap((socket) => this.server.taken(socket));
    this.#expect(frames.map(([header, ...body]) => [header, ...body.map(toFixture)]), expected);
  }

  events(expected) {
    this.#expect(this.noted.splice(0), expected);
  }

  positions(expected) {
    const known = [...this.topics.values()].filter(({ position }) => position !== undefined);
    this.#expect(Object.fromEntries(known.map(({ name, position }) => [name, position])), expected);
  }

  left({ code, pause }) {
    const last = this.client.states.findLast((state) => state.code !== undefined);
    assert.deepEqual([last.code, last.pause ?? null], [code === 1002 ? 4002 : code, pause]);
  }

  #request(promise, resolved) {
    const number = ++this.requests;
    promise.then(
      (answer) => this.noted.push(resolved(number, answer)),
      ({ code, retry = null }) => this.noted.push({ failed: number, code, retry }),
    );
  }

  #expect(actual, expected) {
    assert.deepEqual(actual, this.#known(actual, expected));
  }

  /** Puts what the client has drawn into the expectation. */
  #known(actual, expected) {
    if (typeof expected === "string" && expected.startsWith("$")) {
      if (!this.drawn.has(expected)) this.drawn.set(expected, actual);
      return this.drawn.get(expected);
    }
    if (Array.isArray(expected)) return expected.map((item, at) => this.#known(actual?.[at], item));
    if (expected === null || typeof expected !== "object") return expected;
    return Object.fromEntries(Object.entries(expected).map(([key, value]) => [key, this.#known(actual?.[key], value)]));
  }
}

function fromFixture(body) {
  return typeof body === "string" ? body : Uint8Array.from(Buffer.from(body.base64, "base64"));
}

function toFixture(data) {
  return typeof data === "string" ? data : { base64: Buffer.from(data).toString("base64") };
}
