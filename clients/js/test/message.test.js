import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { FakeServer, random } from "./fake.js";

let server, client, messages;
beforeEach(async () => {
  server = new FakeServer();
  random(0);
  client = await server.open();
  messages = [];
  client.onmessage = (message) => messages.push(message);
});
afterEach(FakeServer.reset);

test("a text frame with an empty header is a message of the application", () => {
  server.send("", '{"x":"a\\n"}\n');
  const [message] = messages;
  assert.equal(message.data, '{"x":"a\\n"}\n');
  assert.equal(message.text, '{"x":"a\\n"}\n');
  assert.deepEqual(message.json(), { x: "a\n" });
  assert.deepEqual(message.bytes, new TextEncoder().encode(message.text));
  assert.equal(message.position, undefined);
});

test("a binary frame with an empty header is one too", () => {
  server.sendRaw(Uint8Array.of(10, 10, 195, 188));
  const [message] = messages;
  assert.deepEqual(message.data, Uint8Array.of(10, 195, 188));
  assert.deepEqual(message.bytes, Uint8Array.of(10, 195, 188));
  assert.equal(message.bytes.byteOffset, 0);
  assert.equal(message.text, "\nü");
});

test("an empty body is an empty message", () => {
  server.send("");
  server.sendRaw(Uint8Array.of(10));
  assert.deepEqual(messages.map(({ data }) => data), ["", new Uint8Array(0)]);
});

test("the text of bytes that are no UTF-8 is an error", () => {
  server.sendRaw(Uint8Array.of(10, 255));
  assert.throws(() => messages[0].text, TypeError);
});

test("a binary message of a topic has its bytes and position", () => {
  const topic = client.subscribe("ü");
  topic.onmessage = (message) => messages.push(message);
  server.send({ ok: 1, topic: "ü", at: "e:1:p", recovered: null, missed: 0 });
  server.sendRaw(Buffer.concat([Buffer.from('{"m":"ü","at":"e:2:q"}\n'), Buffer.of(0, 10, 255)]));
  assert.deepEqual(messages[0].bytes, Uint8Array.of(0, 10, 255));
  assert.equal(messages[0].position, "e:2:q");
});

for (const [name, data, frame] of [
  ["text", "hi\n", "\nhi\n"],
  ["an object", { x: 1 }, '\n{"x":1}'],
  ["bytes", Uint8Array.of(1, 10), Uint8Array.of(10, 1, 10)],
  ["an empty text", "", "\n"],
]) {
  test(`send puts an empty header before ${name}`, () => {
    client.send(data);
    assert.deepEqual(server.socket.sent, [frame]);
  });
}

test("send while the connection is not open is an error", () => {
  server.close(1006);
  assert.throws(() => client.send("x"), { code: "closed" });
});

test("without a handler messages are dropped", () => {
  client.onmessage = null;
  const topic = client.subscribe("a");
  server.send("", "x");
  server.send({ ok: 1, topic: "a", at: "e:1:p", recovered: null, missed: 0 });
  server.send({ m: "a", at: "e:2:q" }, "x");
  server.send({ stir: "a" });
  server.send({ lost: "a" });
  server.send({ end: "a", code: "denied" });
  assert.equal(client.state, "open");
  assert.equal(topic.position, "e:2:q");
});
