import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { FakeServer, random, rejection } from "./fake.js";

const UNKNOWN = "the request failed: unknown";

let server, client, topic;
beforeEach(async () => {
  server = new FakeServer();
  random(0);
  client = await server.open();
});
afterEach(FakeServer.reset);

/** Subscribes to `a`. The topic has history if there is a position. */
function join(at) {
  topic = client.subscribe("a");
  const [[{ ref }]] = server.taken();
  server.send({ ok: ref, topic: "a", at, recovered: null, missed: 0 });
}

// ---- What goes out

for (const [name, data, body] of [
  ["a string as text", "hi\nthere", "hi\nthere"],
  ["an object as JSON", { x: 1 }, '{"x":1}'],
  ["an array as JSON", [1, "a"], '[1,"a"]'],
  ["a number as JSON", 7, "7"],
  ["null as JSON", null, "null"],
  ["a Uint8Array as bytes", Uint8Array.of(0, 10, 255), Uint8Array.of(0, 10, 255)],
  ["an ArrayBuffer as bytes", Uint8Array.of(1, 2).buffer, Uint8Array.of(1, 2)],
  ["a view of a buffer as its part", new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2), Uint8Array.of(2, 3)],
  ["numbers of two bytes as bytes", new Uint16Array(Uint8Array.of(1, 2, 3, 4).buffer), Uint8Array.of(1, 2, 3, 4)],
]) {
  test(`publish sends ${name}`, () => {
    join("e:7:p");
    topic.publish(data);
    const [[header, sent]] = server.taken();
    assert.deepEqual(header, { pub: "a", key: header.key, ref: 2 });
    assert.deepEqual(sent, body);
  });
}

test("the bytes of a binary frame are the header in UTF-8, a line feed, and the body", () => {
  const room = client.subscribe("ü");
  room.publish(Uint8Array.of(255));
  const [, frame] = server.socket.sent;
  const key = /"key":"([^"]*)"/.exec(Buffer.from(frame).toString())[1];
  assert.deepEqual(Buffer.from(frame), Buffer.concat([Buffer.from(`{"pub":"ü","key":"${key}","ref":2}\n`), Buffer.of(255)]));
});

test("bytes that change after the call are not sent", async () => {
  const bytes = Uint8Array.of(1);
  join("e:7:p");
  server.close(1006);
  topic.publish(bytes);
  bytes[0] = 2;
  await server.pass(0);
  server.accept();
  assert.deepEqual(server.taken()[1][1], Uint8Array.of(1));
});

test("each publish has a key of its own: 18 random bytes as 24 characters of base64url", () => {
  join("e:7:p");
  for (let n = 0; n < 100; n++) topic.publish("x");
  const keys = server.taken().map(([{ key }]) => key);
  assert.equal(new Set(keys).size, 100);
  for (const key of keys) assert.match(key, /^[A-Za-z0-9_-]{24}$/);
});

test("a publish goes out before the ok of its topic", () => {
  client.subscribe("a").publish("x");
  assert.deepEqual(server.taken().map(([{ sub, pub }]) => sub ?? pub), ["a", "a"]);
});

// ---- Answers

test("publish resolves with the position where the message is stored", async () => {
  join("e:7:p");
  const published = topic.publish("x");
  server.send({ ok: 2, stored: "e:8:q" });
  assert.deepEqual(await published, { stored: "e:8:q" });
});

test("without history publish resolves without a position", async () => {
  join();
  const published = topic.publish("x");
  server.send({ ok: 2 });
  assert.equal((await published).stored, undefined);
});

test("answers may come in any order, and each once", async () => {
  join("e:7:p");
  const published = ["1", "2"].map((text) => topic.publish(text));
  server.send({ ok: 3, stored: "e:9:r" });
  server.send({ ok: 2, stored: "e:8:q" });
  server.send({ ok: 2, stored: "e:0:x" });
  assert.deepEqual(await Promise.all(published), [{ stored: "e:8:q" }, { stored: "e:9:r" }]);
});

for (const [code, retry] of [["denied"], ["too-large"], ["unknown"], ["rate", 100], ["unavailable", 500]]) {
  test(`the refusal ${code} rejects with the code, and nothing is sent again`, async () => {
    join("e:7:p");
    const published = rejection(topic.publish("x"));
    server.send({ err: 2, code, message: "no", retry });
    assert.deepEqual(await published, { code, message: "no", retry });
    await server.reconnect();
    assert.deepEqual(server.taken(), [[{ sub: "a", at: "e:7:p", ref: 3 }]]);
  });
}

test("a value without a form in JSON rejects", async () => {
  join("e:7:p");
  const value = {};
  value.self = value;
  await assert.rejects(topic.publish(value), TypeError);
  await assert.rejects(topic.publish(1n), TypeError);
});

test("the 201st request without an answer rejects", async () => {
  join("e:7:p");
  for (let n = 0; n < 200; n++) topic.publish("x");
  assert.equal((await rejection(topic.publish("x"))).code, "full");
  server.send({ ok: 2, stored: "e:8:q" });
  topic.publish("x");
  assert.equal(server.taken().length, 201);
});

// ---- What is sent again

test("with history, publishes without an answer go out again with their keys, in order, after the subs", async () => {
  join("e:7:p");
  for (const text of ["1", "2", "3"]) topic.publish(text);
  const [first, , third] = server.taken().map(([{ key }]) => key);
  server.send({ ok: 3, stored: "e:8:q" });
  await server.reconnect();
  assert.deepEqual(server.taken(), [
    [{ sub: "a", at: "e:7:p", ref: 5 }],
    [{ pub: "a", key: first, ref: 6 }, "1"],
    [{ pub: "a", key: third, ref: 7 }, "3"],
  ]);
});

test("a binary publish goes out again as the same bytes", async () => {
  join("e:7:p");
  topic.publish(Uint8Array.of(1, 10, 2));
  await server.reconnect();
  assert.deepEqual(server.taken()[1][1], Uint8Array.of(1, 10, 2));
});

test("the answer to a repeated publish resolves it", async () => {
  join("e:7:p");
  const published = topic.publish("x");
  await server.reconnect();
  server.send({ ok: 4, stored: "e:8:q" });
  assert.deepEqual(await published, { stored: "e:8:q" });
});

test("an answer counts on the connection of its request only", async () => {
  join("e:7:p");
  const published = topic.publish("x");
  await server.reconnect();
  server.send({ ok: 2, stored: "e:0:x" });
  server.send({ ok: 4, stored: "e:8:q" });
  assert.deepEqual(await published, { stored: "e:8:q" });
});

test("without history a publish without an answer is rejected when the connection is lost", async () => {
  join();
  const published = rejection(topic.publish("x"));
  server.close(1006);
  assert.deepEqual(await published, { code: "unknown", message: UNKNOWN, retry: undefined });
  await server.pass(0);
  server.accept();
  assert.deepEqual(server.taken(), [[{ sub: "a", ref: 3 }]]);
});

test("before the first ok of its topic a publish without an answer is rejected too", async () => {
  const published = rejection(client.subscribe("a").publish("x"));
  server.close(1006);
  assert.equal((await published).code, "unknown");
});

test("45 s after its first sending a publish still goes out again", async () => {
  join("e:7:p");
  topic.publish("x");
  server.send({ bye: 1, after: [45_000, 45_000] });
  server.close(1012);
  await server.pass(45_000);
  server.accept();
  assert.deepEqual(server.taken().map(([{ sub, pub }, body]) => [sub ?? pub, body]), [["a", undefined], ["a", "x"]]);
});

test("later than 45 s after its first sending a publish is rejected", async () => {
  join("e:7:p");
  const published = rejection(topic.publish("x"));
  await server.pass(20_000);
  await server.reconnect();
  assert.equal(server.taken().at(-1)[1], "x"); // The first sending counts.
  await server.pass(20_000);
  server.send({ pong: 1 });
  await server.pass(5_001);
  server.close(1006);
  assert.equal((await published).code, "unknown");
});

test("a publish that became too old while the client waited is rejected, and not sent", async () => {
  join("e:7:p");
  const published = rejection(topic.publish("x"));
  server.send({ bye: 1, after: [46_000, 46_000] });
  server.close(1012);
  await server.pass(46_000);
  server.accept();
  assert.equal((await published).code, "unknown");
  assert.deepEqual(server.taken(), [[{ sub: "a", at: "e:7:p", ref: 3 }]]);
});

test("a publish that was never sent waits for the connection, with history or not", async () => {
  join();
  server.close(1006);
  topic.publish("x");
  await server.pass(0);
  server.close(1006);
  await server.pass(60_000);
  server.accept();
  assert.deepEqual(server.taken().map(([{ sub, pub }, body]) => [sub ?? pub, body]), [["a", undefined], ["a", "x"]]);
});

test("a publish after the server's Close is not lost: it waits for the next connection", async () => {
  join();
  server.socket.readyState = 2;
  topic.publish("x");
  assert.deepEqual(server.taken(), []);
  await server.reconnect();
  assert.deepEqual(server.taken()[1][1], "x");
});

test("when the client is closed, a sent publish is unknown, and one that was never sent is not", async () => {
  join("e:7:p");
  const sent = rejection(topic.publish("1"));
  server.close(1006);
  const kept = rejection(topic.publish("2"));
  client.close();
  assert.equal((await sent).code, "unknown");
  assert.equal((await kept).code, "closed");
});

test("a publish goes on when its topic is left", async () => {
  join("e:7:p");
  const published = topic.publish("x");
  topic.unsubscribe();
  server.send({ ok: 2, stored: "e:8:q" });
  assert.deepEqual(await published, { stored: "e:8:q" });
});
