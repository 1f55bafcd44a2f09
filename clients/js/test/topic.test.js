import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { FakeServer, random, rejection, settle } from "./fake.js";

let server;
beforeEach(() => {
  server = new FakeServer();
  random(0);
});
afterEach(FakeServer.reset);

/** Writes down each event of a topic. */
function note(topic) {
  const events = [];
  for (const name of ["onsubscribed", "onlost", "onstir", "onended", "onerror"]) {
    topic[name] = (why) => events.push(why === undefined ? [name] : [name, why]);
  }
  topic.onmessage = ({ text, position }) => events.push(position === undefined ? [text] : [text, position]);
  return events;
}

/** Returns a client with one live topic `a` with history, and its events so far taken. */
async function live(at = "e:7:p") {
  const client = await server.open();
  const topic = client.subscribe("a");
  const [[{ ref }]] = server.taken();
  server.send({ ok: ref, topic: "a", at, recovered: null, missed: 0 });
  return { client, topic, events: note(topic) };
}

// ---- Subscribing

for (const [name, options, header] of [
  ["nothing more", undefined, { sub: "a", ref: 1 }],
  ["the last 50", { recent: 50 }, { sub: "a", recent: 50, ref: 1 }],
  ["a member", { member: { name: "Ann" } }, { sub: "a", member: { name: "Ann" }, ref: 1 }],
  ["a position", { after: "e:7:p" }, { sub: "a", at: "e:7:p", ref: 1 }],
  ["a position and the last 50: the position counts", { after: "e:7:p", recent: 50 }, { sub: "a", at: "e:7:p", ref: 1 }],
]) {
  test(`subscribe with ${name}`, async () => {
    const client = await server.open();
    client.subscribe("a", options);
    assert.deepEqual(server.taken(), [[header]]);
  });
}

test("topics that were named before the connection opened go out in their order when it opens", async () => {
  const client = await server.client();
  client.subscribe("a");
  client.subscribe("b/ü");
  server.accept();
  assert.deepEqual(server.taken(), [[{ sub: "a", ref: 1 }], [{ sub: "b/ü", ref: 2 }]]);
});

test("a second subscription to a topic is an error of the caller", async () => {
  const client = await server.open();
  client.subscribe("a");
  assert.throws(() => client.subscribe("a"), { message: "already subscribed to a" });
});

test("the answer comes first, then the replay, then live messages", async () => {
  const client = await server.open();
  const events = note(client.subscribe("a", { after: "e:7:p" }));
  server.send({ ok: 1, topic: "a", at: "e:7:p", recovered: true, missed: 1 });
  server.send({ m: "a", at: "e:8:q" }, "replayed");
  server.send({ m: "a", at: "e:9:r" }, "live\n2nd line");
  assert.deepEqual(events, [
    ["onsubscribed", { recovered: true, missed: 1, position: "e:7:p" }],
    ["replayed", "e:8:q"],
    ["live\n2nd line", "e:9:r"],
  ]);
});

test("the answer to a subscription counts once", async () => {
  const { events } = await live();
  server.send({ ok: 1, topic: "a", at: "e:9:r", recovered: null, missed: 0 });
  assert.deepEqual(events, []);
});

// ---- Positions

test("the position is the last of ok, m and lost, in order of arrival and not of size", async () => {
  const { topic } = await live("e:7:p");
  assert.equal(topic.position, "e:7:p");
  server.send({ m: "a", at: "e:9:r" });
  assert.equal(topic.position, "e:9:r");
  server.send({ lost: "a", at: "f:2:s" });
  assert.equal(topic.position, "f:2:s");
  server.send({ m: "a", at: "f:1:t" });
  assert.equal(topic.position, "f:1:t");
  await server.reconnect();
  assert.deepEqual(server.taken(), [[{ sub: "a", at: "f:1:t", ref: 2 }]]);
  server.send({ ok: 2, topic: "a", at: "g:0:0", recovered: false, missed: 0 });
  assert.equal(topic.position, "g:0:0");
});

test("the position of a stored message is no position of the client", async () => {
  const { topic } = await live("e:7:p");
  const published = topic.publish("x");
  server.send({ ok: 2, stored: "e:9:r" });
  await published;
  assert.equal(topic.position, "e:7:p");
});

test("after a reconnect all topics are subscribed in one batch with their positions and members", async () => {
  const client = await server.client();
  const [a, b, c] = [
    client.subscribe("a", { recent: 5, member: "me" }),
    client.subscribe("b", { recent: 5 }),
    client.subscribe("c", { recent: 5 }),
  ];
  server.accept();
  server.taken();
  server.send({ ok: 1, topic: "a", at: "e:7:p", recovered: null, missed: 0 });
  server.send({ ok: 2, topic: "b", recovered: null, missed: 0 }); // without history
  await server.reconnect(); // `c` has no answer yet
  assert.deepEqual(server.taken(), [
    [{ sub: "a", at: "e:7:p", member: "me", ref: 4 }],
    [{ sub: "b", recent: 5, ref: 5 }],
    [{ sub: "c", recent: 5, ref: 6 }],
  ]);
  assert.deepEqual([a, b, c].map(({ position }) => position), ["e:7:p", undefined, undefined]);
});

test("a connection that is cut during the replay resumes there", async () => {
  const client = await server.open();
  const events = note(client.subscribe("a", { after: "e:1:p" }));
  server.taken();
  server.send({ ok: 1, topic: "a", at: "e:1:p", recovered: true, missed: 3 });
  server.send({ m: "a", at: "e:2:q" }, "2");
  await server.reconnect();
  assert.deepEqual(server.taken(), [[{ sub: "a", at: "e:2:q", ref: 2 }]]);
  server.send({ ok: 2, topic: "a", at: "e:2:q", recovered: true, missed: 2 });
  server.send({ m: "a", at: "e:3:r" }, "3");
  server.send({ m: "a", at: "e:4:s" }, "4");
  assert.deepEqual(events.filter(([name]) => !name.startsWith("on")), [["2", "e:2:q"], ["3", "e:3:r"], ["4", "e:4:s"]]);
  assert.ok(!events.some(([name]) => name === "onlost"));
});

// ---- Losses

test("lost calls onlost, and the subscription stays", async () => {
  const { events } = await live();
  server.send({ lost: "a", at: "e:9:r" });
  server.send({ lost: "a" });
  server.send({ m: "a", at: "e:10:s" }, "x");
  assert.deepEqual(events, [["onlost"], ["onlost"], ["x", "e:10:s"]]);
});

for (const [name, before, answer, isLost] of [
  ["recovered: no loss", { at: "e:7:p" }, { at: "e:7:p", recovered: true, missed: 0 }, false],
  ["not recovered: a loss", { at: "e:7:p" }, { at: "f:0:0", recovered: false, missed: 0 }, true],
  ["without history: messages may be missing", {}, { recovered: null, missed: 0 }, true],
]) {
  test(`after a reconnect, ${name}`, async () => {
    const client = await server.open();
    const topic = client.subscribe("a");
    server.send({ ok: 1, topic: "a", recovered: null, missed: 0, ...before });
    const events = note(topic);
    await server.reconnect();
    server.send({ ok: 2, topic: "a", ...answer });
    assert.deepEqual(events.map(([event]) => event), isLost ? ["onsubscribed", "onlost"] : ["onsubscribed"]);
  });
}

test("a first subscription loses nothing, but one after a position may", async () => {
  const client = await server.open();
  const [a, b] = [note(client.subscribe("a")), note(client.subscribe("b", { after: "e:7:p" }))];
  server.send({ ok: 1, topic: "a", at: "e:0:0", recovered: null, missed: 0 });
  server.send({ ok: 2, topic: "b", at: "f:0:0", recovered: false, missed: 0 });
  assert.deepEqual(a.map(([event]) => event), ["onsubscribed"]);
  assert.deepEqual(b.map(([event]) => event), ["onsubscribed", "onlost"]);
});

// ---- Leaving

test("messages of a topic are ignored from unsub until its ok", async () => {
  const { topic, events } = await live();
  topic.unsubscribe();
  assert.deepEqual(server.taken(), [[{ unsub: "a", ref: 2 }]]);
  server.send({ m: "a", at: "e:8:q" }, "late");
  server.send({ lost: "a", at: "e:9:r" });
  server.send({ ok: 2 });
  assert.deepEqual(events, []);
});

test("a new subscription hears nothing of the one before", async () => {
  const { client, topic } = await live();
  topic.unsubscribe();
  const again = client.subscribe("a");
  const events = note(again);
  assert.deepEqual(server.taken(), [[{ unsub: "a", ref: 2 }], [{ sub: "a", ref: 3 }]]);
  for (const header of [{ m: "a", at: "e:8:q" }, { lost: "a", at: "e:9:r" }, { stir: "a" }, { end: "a", code: "evicted" }]) {
    server.send(header);
  }
  server.send({ ok: 2 });
  server.send({ m: "a", at: "e:9:r" });
  assert.equal(again.position, undefined);
  assert.deepEqual(events, []);
  server.send({ ok: 3, topic: "a", at: "e:9:r", recovered: null, missed: 0 });
  server.send({ m: "a", at: "e:10:s" }, "mine");
  assert.deepEqual(events.at(-1), ["mine", "e:10:s"]);
});

test("an answer to a subscription that was left meanwhile is ignored", async () => {
  const client = await server.open();
  const topic = client.subscribe("a");
  const events = note(topic);
  topic.unsubscribe();
  server.send({ ok: 1, topic: "a", at: "e:7:p", recovered: null, missed: 1 });
  server.send({ m: "a", at: "e:8:q" });
  server.send({ ok: 2 });
  assert.deepEqual(events, []);
});

test("a topic that was left is not subscribed after a reconnect", async () => {
  const { topic } = await live();
  topic.unsubscribe();
  topic.unsubscribe();
  await server.reconnect();
  assert.deepEqual(server.taken(), []);
});

test("end calls onended with the code, and the topic is gone", async () => {
  const { client, topic, events } = await live();
  server.send({ end: "a", code: "evicted" });
  assert.equal(events[0][1].code, "evicted");
  server.send({ m: "a", at: "e:8:q" });
  assert.equal(events.length, 1);
  assert.equal((await rejection(topic.publish("x"))).code, "closed");
  await server.reconnect();
  assert.deepEqual(server.taken(), []);
  client.subscribe("a");
});

// ---- Refusals

test("a refusal with a time is repeated after it", async () => {
  const client = await server.open();
  const events = note(client.subscribe("a", { recent: 5 }));
  server.taken();
  server.send({ err: 1, code: "unavailable", message: "the engine is down", retry: 700 });
  const [[name, { code, message, retry }]] = events;
  assert.deepEqual([name, code, message, retry], ["onerror", "unavailable", "the engine is down", 700]);
  await server.pass(699);
  assert.deepEqual(server.taken(), []);
  await server.pass(1);
  assert.deepEqual(server.taken(), [[{ sub: "a", recent: 5, ref: 2 }]]);
});

test("a refusal is repeated after 5 minutes at the latest", async () => {
  const client = await server.open();
  client.subscribe("a");
  server.send({ hello: 1, ping: 1e6 });
  server.send({ err: 1, code: "unavailable", message: "", retry: 1e12 });
  server.taken();
  await server.pass(299_999);
  assert.deepEqual(server.taken(), []);
  await server.pass(1);
  assert.deepEqual(server.taken().at(-1), [{ sub: "a", ref: 2 }]);
});

test("a refusal is not repeated on another connection: that one subscribes by itself", async () => {
  const client = await server.open();
  client.subscribe("a");
  server.send({ err: 1, code: "unavailable", message: "", retry: 700 });
  await server.reconnect();
  assert.deepEqual(server.taken(), [[{ sub: "a", ref: 2 }]]);
  await server.pass(700);
  assert.deepEqual(server.taken(), []);
});

test("a refusal is not repeated for a topic that was left", async () => {
  const client = await server.open();
  const topic = client.subscribe("a");
  server.send({ err: 1, code: "rate", message: "", retry: 700 });
  topic.unsubscribe();
  server.taken();
  await server.pass(700);
  assert.deepEqual(server.taken(), []);
});

for (const code of ["bad-topic", "denied", "too-many", "too-large", "evicted", "internal"]) {
  test(`the refusal ${code} ends the subscription`, async () => {
    const client = await server.open();
    const events = note(client.subscribe("a"));
    server.send({ err: 1, code, message: "no" });
    assert.deepEqual(events.map(([name, error]) => [name, error.code, error.message]), [["onended", code, "no"]]);
    await server.reconnect();
    assert.deepEqual(server.taken(), []);
  });
}

// ---- Members

test("members and count ask, and give the answer", async () => {
  const { topic } = await live();
  const [all, some, count] = [topic.members(), topic.members({ max: 2 }), topic.count()];
  assert.deepEqual(server.taken(), [[{ who: "a", ref: 2 }], [{ who: "a", max: 2, ref: 3 }], [{ count: "a", ref: 4 }]]);
  server.send({ ok: 4, count: 3 });
  server.send({ ok: 2, members: [1, 2, 3], all: true });
  server.send({ ok: 3, members: [1, 2], all: false });
  assert.deepEqual(await all, { members: [1, 2, 3], all: true });
  assert.deepEqual(await some, { members: [1, 2], all: false });
  assert.equal(await count, 3);
});

test("a question waits for the ok of its topic, and is asked again after a reconnect", async () => {
  const client = await server.open();
  const topic = client.subscribe("a");
  const count = topic.count();
  assert.deepEqual(server.taken(), [[{ sub: "a", ref: 1 }]]);
  server.send({ ok: 1, topic: "a", at: "e:7:p", recovered: null, missed: 0 });
  assert.deepEqual(server.taken(), [[{ count: "a", ref: 2 }]]);
  await server.reconnect();
  assert.deepEqual(server.taken(), [[{ sub: "a", at: "e:7:p", ref: 3 }]]);
  server.send({ ok: 3, topic: "a", at: "e:7:p", recovered: true, missed: 0 });
  assert.deepEqual(server.taken(), [[{ count: "a", ref: 4 }]]);
  server.send({ ok: 4, count: 9 });
  assert.equal(await count, 9);
});

test("a question about a topic that is left is rejected", async () => {
  const { topic } = await live();
  const count = rejection(topic.count());
  topic.unsubscribe();
  assert.equal((await count).code, "closed");
  assert.equal((await rejection(topic.members())).code, "closed");
});

test("a refused question is rejected with its code and time", async () => {
  const { topic } = await live();
  const members = rejection(topic.members());
  server.send({ err: 2, code: "rate", message: "too fast", retry: 100 });
  assert.deepEqual(await members, { code: "rate", message: "too fast", retry: 100 });
});

test("stir calls onstir, and asks nothing without onmembers", async () => {
  const { events } = await live();
  server.send({ stir: "a" });
  await server.pass(3_000);
  assert.deepEqual(events, [["onstir"]]);
  assert.deepEqual(server.taken(), []);
});

for (const [drawn, time] of [[0, 0], [0.5, 1_500], [0.999, 2_997]]) {
  test(`stir asks for the members after ${time} ms if onmembers is set`, async () => {
    const { topic } = await live();
    const lists = [];
    topic.onmembers = (list) => lists.push(list);
    random(drawn);
    server.send({ stir: "a" });
    if (time > 0) {
      await server.pass(time - 1);
      assert.deepEqual(server.taken(), []);
    }
    await server.pass(1);
    assert.deepEqual(server.taken(), [[{ who: "a", ref: 2 }]]);
    server.send({ ok: 2, members: ["Ann"], all: true });
    await settle();
    assert.deepEqual(lists, [{ members: ["Ann"], all: true }]);
  });
}

test("with onmembers the list is asked for after each ok, and again when the server asks for a pause", async () => {
  const client = await server.open();
  const topic = client.subscribe("a");
  topic.onmembers = () => {};
  server.taken();
  server.send({ ok: 1, topic: "a", recovered: null, missed: 0 });
  await server.pass(0);
  assert.deepEqual(server.taken(), [[{ who: "a", ref: 2 }]]);
  server.send({ err: 2, code: "rate", message: "", retry: 400 });
  await settle();
  await server.pass(399);
  assert.deepEqual(server.taken(), []);
  await server.pass(1);
  assert.deepEqual(server.taken(), [[{ who: "a", ref: 3 }]]);
});

test("a refused list of members reaches onerror", async () => {
  const { topic, events } = await live();
  topic.onmembers = () => {};
  server.send({ stir: "a" });
  await server.pass(0);
  server.send({ err: 2, code: "denied", message: "no presence here" });
  await settle();
  assert.equal(events.at(-1)[0], "onerror");
  assert.equal(events.at(-1)[1].code, "denied");
});
