import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";

import { PROTOCOLS, RECONNECT_CODES } from "../sockeye.js";
import { FakeServer, random, rejection, settle } from "./fake.js";

// The same list as that of the clients in Rust.
const fixture = new URL("../../../crates/pubsub/tests/wire/close-codes.json", import.meta.url);
const codes = JSON.parse(readFileSync(fixture));

let server;
beforeEach(() => {
  server = new FakeServer();
  random(0);
});
afterEach(FakeServer.reset);

// ---- URLs and credentials

for (const [url, expected] of [
  ["/topics", "wss://example.org/topics"],
  ["topics?a=1", "wss://example.org/chat/topics?a=1"],
  ["http://other.example/topics", "ws://other.example/topics"],
  ["https://other.example/topics", "wss://other.example/topics"],
  ["ws://other.example:8080/topics", "ws://other.example:8080/topics"],
  [new URL("https://other.example/topics"), "wss://other.example/topics"],
]) {
  test(`in the page https://example.org/chat/page the URL ${url} becomes ${expected}`, async () => {
    globalThis.location = { href: "https://example.org/chat/page" };
    try {
      await server.client({}, url);
    } finally {
      delete globalThis.location;
    }
    assert.equal(server.socket.url, expected);
  });
}

test("the client offers one subprotocol", async () => {
  await server.client();
  assert.deepEqual(server.socket.protocols, ["sockeye.topics.v0"]);
  assert.deepEqual(PROTOCOLS, ["sockeye.topics.v0"]);
});

test("the ticket goes into the query, and keeps what is there", async () => {
  await server.client({ credentials: async () => "a b&c" }, "wss://host/topics?page=7");
  assert.equal(server.socket.url, "wss://host/topics?page=7&ticket=a+b%26c");
});

test("the ticket replaces one that is in the URL", async () => {
  await server.client({ credentials: () => "new" }, "wss://host/topics?ticket=old");
  assert.equal(server.socket.url, "wss://host/topics?ticket=new");
});

test("an empty ticket is a ticket", async () => {
  await server.client({ credentials: () => "" });
  assert.equal(server.socket.url, "ws://host/topics?ticket=");
});

test("without a ticket nothing goes into the query", async () => {
  await server.client({ credentials: async () => null });
  assert.equal(server.socket.url, "ws://host/topics");
});

test("the URL and the ticket are asked for at each connect", async () => {
  let [urls, tickets] = [0, 0];
  const client = await server.client({ credentials: async () => `t${++tickets}` }, async () => `ws://host/${++urls}`);
  server.accept();
  await server.reconnect();
  assert.deepEqual(server.sockets.map(({ url }) => url), ["ws://host/1?ticket=t1", "ws://host/2?ticket=t2"]);
  assert.equal(client.state, "open");
});

test("a ticket that cannot be had is an error, and another attempt follows", async () => {
  const answers = [Promise.reject(new Error("offline")), "t"];
  const client = server.start({ credentials: () => answers.shift() });
  await settle();
  assert.equal(client.state, "waiting");
  assert.deepEqual(client.errors, ["offline"]);
  assert.equal(server.sockets.length, 0);
  await server.pass(0);
  assert.equal(server.socket.url, "ws://host/topics?ticket=t");
});

test("a URL that is none is an error, and another attempt follows", async () => {
  random(0.5);
  const client = server.start({}, "/no/page/here");
  await settle();
  assert.equal(client.state, "waiting");
  assert.deepEqual(client.errors, ["Invalid URL"]);
  await server.pass(250);
  assert.deepEqual(client.errors, ["Invalid URL", "Invalid URL"]);
});

test("a client that is closed while it waits for a ticket does not connect", async () => {
  let give;
  const client = await server.client({ credentials: () => new Promise((resolve) => { give = resolve; }) });
  client.close();
  give("late");
  await settle();
  assert.equal(server.sockets.length, 0);
  assert.deepEqual(client.states, [{ state: "closed", code: 1000, reason: "" }]);
});

// ---- States

test("the states are connecting, open, waiting, connecting, open, closed", async () => {
  const client = await server.client();
  assert.equal(client.state, "connecting");
  server.accept();
  server.close(1012, "restart");
  await server.pass(0);
  server.accept();
  client.close();
  assert.deepEqual(client.states, [
    { state: "open" },
    { state: "waiting", code: 1012, reason: "restart", pause: 0 },
    { state: "connecting" },
    { state: "open" },
    { state: "closed", code: 1000, reason: "" },
  ]);
  assert.equal(server.socket.closedWith, 1000);
});

test("close() is final: nothing more happens, and a second one does nothing", async () => {
  const client = await server.open();
  const { socket } = server;
  client.close();
  client.close();
  server.close(1006);
  await server.pass(1e6);
  assert.equal(client.states.length, 2);
  assert.equal(server.sockets.length, 1);
  assert.equal(socket.sent.length, 0);
  assert.throws(() => client.subscribe("a"), { code: "closed" });
  assert.throws(() => client.send("a"), { code: "closed" });
});

test("close() ends a pause", async () => {
  const client = await server.open();
  server.close(1006);
  client.close();
  await server.pass(1e6);
  assert.equal(server.sockets.length, 1);
});

test("hello is kept: it holds the public member id of this client", async () => {
  const client = await server.open();
  server.send({ hello: 1, me: "m7", node: "one", ping: 25, topics: 128 });
  assert.equal(client.hello.me, "m7");
  assert.equal(client.hello.node, "one");
});

// ---- The close codes

test("the client and the list for all clients name the same codes", () => {
  assert.deepEqual(RECONNECT_CODES, codes.again);
  for (let code = 1000; code <= 4999; code++) {
    const isNever = codes.never.some(([first, last]) => first <= code && code <= last);
    assert.notEqual(isNever, codes.again.includes(code), `${code}`);
  }
});

for (const code of codes.again) {
  test(`after a close with ${code} the client connects again`, async () => {
    const client = await server.open();
    server.close(code);
    assert.equal(client.state, "waiting");
    await server.pass(0);
    assert.equal(server.sockets.length, 2);
  });
}

for (const code of codes.never.flat()) {
  test(`after a close with ${code} the client is closed`, async () => {
    const client = await server.open();
    server.close(code, "why");
    assert.deepEqual(client.states.at(-1), { state: "closed", code, reason: "why" });
    await server.pass(1e6);
    assert.equal(server.sockets.length, 1);
  });
}

test("after a failed attempt the client connects again", async () => {
  await server.client();
  server.close(1006);
  await server.pass(0);
  assert.equal(server.sockets.length, 2);
});

test("an attempt that takes 20 s has failed", async () => {
  const client = await server.client();
  const { socket } = server;
  await server.pass(19_999);
  assert.equal(client.state, "connecting");
  await server.pass(1);
  assert.deepEqual(client.states[0], { state: "waiting", code: 1006, reason: "connect timeout", pause: 0 });
  assert.equal(socket.readyState, 2);
});

// ---- Pauses

test("the pause is random below 0.5 s, and the bound doubles up to 20 s", async () => {
  random(0.5);
  const client = await server.client();
  for (const pause of [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
    server.close(1006);
    assert.equal(client.states.at(-1).pause, pause);
    await server.pass(pause - 1);
    assert.equal(client.state, "waiting");
    await server.pass(1);
    assert.equal(client.state, "connecting");
  }
});

test("a connection of 10 s resets the pause, and a shorter one does not", async () => {
  random(0.5);
  const client = await server.client();
  for (const [time, pause] of [[0, 250], [9_999, 500], [10_000, 250], [0, 500]]) {
    server.accept();
    await server.pass(time);
    server.close(1006);
    assert.equal(client.states.at(-1).pause, pause);
    await server.pass(pause);
  }
});

for (const [drawn, pause] of [[0, 5_000], [0.5, 12_500], [0.75, 16_250]]) {
  test(`bye asks for 5,000 to 20,000 ms, and ${drawn} of it is ${pause} ms`, async () => {
    const client = await server.open();
    random(drawn);
    server.send({ bye: 1, after: [5_000, 20_000] });
    server.close(1013);
    assert.equal(client.states.at(-1).pause, pause);
    await server.pass(pause - 1);
    assert.equal(server.sockets.length, 1);
    await server.pass(1);
    assert.equal(server.sockets.length, 2);
  });
}

test("bye counts for one pause", async () => {
  const client = await server.open();
  server.send({ bye: 1, after: [5_000, 20_000] });
  server.close(1012);
  await server.pass(5_000);
  server.close(1006);
  assert.equal(client.states.at(-1).pause, 0);
});

test("the client waits for 5 minutes at most, even if bye asks for more", async () => {
  await server.open();
  server.send({ bye: 1, after: [1e12, 1e12] });
  server.close(1012);
  await server.pass(299_999);
  assert.equal(server.sockets.length, 1);
  await server.pass(1);
  assert.equal(server.sockets.length, 2);
});

// ---- Signs of life

test("after the silence that hello names a ping goes out, and each frame begins a new silence", async () => {
  await server.open();
  server.send({ hello: 1, ping: 10 });
  await server.pass(9_999);
  server.send({ pong: 1 });
  await server.pass(9_999);
  assert.deepEqual(server.taken(), []);
  await server.pass(1);
  assert.deepEqual(server.taken(), [[{ ping: 1 }]]);
});

test("before hello the silence is 25 s", async () => {
  await server.open();
  await server.pass(24_999);
  assert.deepEqual(server.taken(), []);
  await server.pass(1);
  assert.deepEqual(server.taken(), [[{ ping: 1 }]]);
});

test("after a hello that names no time the silence is 25 s", async () => {
  await server.open();
  server.send({ hello: 1 });
  await server.pass(24_999);
  assert.deepEqual(server.taken(), []);
  await server.pass(1);
  assert.deepEqual(server.taken(), [[{ ping: 1 }]]);
});

test("any frame answers a ping", async () => {
  const client = await server.open();
  await server.pass(25_000);
  await server.pass(9_999);
  server.send("", "hi");
  await server.pass(1);
  assert.equal(client.state, "open");
});

test("a ping without an answer in 10 s ends the connection", async () => {
  const client = await server.open();
  const { socket } = server;
  await server.pass(25_000);
  await server.pass(9_999);
  assert.equal(client.state, "open");
  await server.pass(1);
  assert.deepEqual(client.states.at(-2), { state: "waiting", code: 1006, reason: "ping timeout", pause: 0 });
  assert.equal(socket.closedWith, 1000);
  assert.equal(server.sockets.length, 2);
});

test("a connection that was given up is not heard any more", async () => {
  await server.open();
  const { socket } = server;
  await server.pass(25_000);
  await server.pass(10_000);
  assert.equal(socket.onmessage, null);
  assert.equal(socket.onclose, null);
});

for (const type of ["online", "pageshow", "visibilitychange"]) {
  test(`at ${type} a ping goes out`, async (context) => {
    const page = new EventTarget();
    const listeners = [];
    globalThis.addEventListener = (type, listener, options) => {
      listeners.push(options.signal);
      page.addEventListener(type, listener, options);
    };
    context.after(() => delete globalThis.addEventListener);
    const client = await server.client();
    page.dispatchEvent(new Event(type)); // The connection is not open.
    server.accept();
    page.dispatchEvent(new Event(type));
    assert.deepEqual(server.taken(), [[{ ping: 1 }]]);
    client.close();
    assert.deepEqual(listeners.map(({ aborted }) => aborted), [true, true, true]);
    page.dispatchEvent(new Event(type));
    assert.deepEqual(server.taken(), []);
  });
}

// ---- Servers that speak something else

for (const protocol of ["", "sockeye.topics.v9"]) {
  test(`a server that agrees on "${protocol}" is left with 4002 for good`, async () => {
    const client = await server.client();
    client.subscribe("a");
    server.accept(protocol);
    assert.deepEqual(client.states, [{ state: "closed", code: 4002, reason: "the server does not speak topics" }]);
    assert.equal(server.socket.closedWith, 4002);
    assert.deepEqual(server.taken(), []);
  });
}

for (const [name, frame] of [
  ["a text without a line feed", '{"hello":1}'],
  ["a text of a header and one more character", "{}x"],
  ["a header that is no JSON", "{hello}\n"],
  ["a header that is an array", "[1]\n"],
  ["a header that is null", "null\n"],
  ["bytes without a line feed", Uint8Array.of(123, 125)],
  ["a header that is no UTF-8", Uint8Array.of(123, 34, 255, 34, 58, 49, 125, 10)],
]) {
  test(`${name} ends the client with 4002`, async () => {
    const client = await server.open();
    server.sendRaw(frame);
    assert.deepEqual(client.states.at(-1), { state: "closed", code: 4002, reason: "the server sent a bad frame" });
    assert.equal(server.socket.closedWith, 4002);
    await server.pass(1e6);
    assert.equal(server.sockets.length, 1);
  });
}

test("unknown verbs and fields are ignored", async () => {
  const client = await server.open();
  server.send({ news: 1 });
  server.send({ hello: 1, me: "m", ping: 25, color: "red" }, "body");
  server.send({ m: "not subscribed", at: "e:1:a" }, "x");
  server.send({ ok: 99 });
  server.send({ err: 98, code: "bad-request", message: "?" });
  assert.equal(client.state, "open");
});

test("a request that waits when the client closes is rejected", async () => {
  const client = await server.client();
  const room = client.subscribe("a");
  const [published, members] = [rejection(room.publish("x")), rejection(room.members())];
  client.close();
  assert.equal((await published).code, "closed");
  assert.equal((await members).code, "closed");
  assert.equal((await rejection(room.publish("y"))).code, "closed");
});
