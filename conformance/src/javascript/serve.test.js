// The JavaScript client against `sockeye serve`.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import net from "node:net";
import test from "node:test";
import { pathToFileURL } from "node:url";

const { Sockeye } = await import(pathToFileURL(process.env.SOCKEYE_CLIENT));
const server = new URL(process.env.SOCKEYE_URL);

/** The promise of the next call of a handler. */
const next = (target, handler) => new Promise((resolve) => (target[handler] = resolve));

/** A topic that no other test has. */
const fresh = () => `demo/${randomUUID()}`;

/** Collects the texts of a topic until `done` says that they are enough. */
const collect = (topic, done) => {
  const texts = [];
  const enough = new Promise((resolve) => {
    topic.onmessage = (message) => {
      texts.push(message.text);
      if (done(texts)) resolve(texts);
    };
  });
  return { texts, enough };
};

/** A relay of TCP whose links can be cut. */
const relay = async () => {
  const links = new Set();
  const listener = net.createServer((near) => {
    const far = net.connect(Number(server.port), server.hostname);
    for (const end of [near, far]) {
      links.add(end);
      end.on("error", () => {});
      end.on("close", () => links.delete(end));
    }
    near.pipe(far).pipe(near);
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${listener.address().port}/topics`,
    cut: () => links.forEach((link) => link.resetAndDestroy()),
    close: () => {
      listener.close();
      links.forEach((link) => link.destroy());
    },
  };
};

const open = (t, url = new URL("/topics", server).href) => {
  const client = new Sockeye(url);
  t.after(() => client.close());
  return client;
};

test("a message comes to each subscriber once and in order, text and bytes", async (t) => {
  const topic = fresh();
  const [ann, bob] = [open(t), open(t)].map((client) => client.subscribe(topic));
  await Promise.all([next(ann, "onsubscribed"), next(bob, "onsubscribed")]);
  const [atAnn, atBob] = [ann, bob].map((room) => collect(room, (texts) => texts.length === 100));
  for (let n = 0; n < 100; n++) ann.publish(n % 2 ? `${n}` : new TextEncoder().encode(`${n}`));
  const wanted = Array.from({ length: 100 }, (_, n) => `${n}`);
  assert.deepEqual(await atAnn.enough, wanted);
  assert.deepEqual(await atBob.enough, wanted);
});

test("a late subscriber gets the newest messages, and JSON stays JSON", async (t) => {
  const topic = fresh();
  const early = open(t).subscribe(topic);
  for (let n = 0; n < 3; n++) assert.ok((await early.publish({ n })).stored);
  const late = open(t).subscribe(topic, { recent: 2 });
  const { enough } = collect(late, (texts) => texts.length === 2);
  assert.deepEqual((await enough).map((text) => JSON.parse(text).n), [1, 2]);
  assert.ok(late.position);
});

test("a client whose link is cut gets what it missed, and is told how much", async (t) => {
  const link = await relay();
  t.after(() => link.close());
  const topic = fresh();
  const away = open(t, link.url);
  const room = away.subscribe(topic);
  assert.equal((await next(room, "onsubscribed")).recovered, null);
  const { texts, enough } = collect(room, (texts) => texts.length === 31);
  room.onlost = () => assert.fail("nothing is lost");
  const here = open(t).subscribe(topic);
  await here.publish("before");
  while (texts.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const waiting = new Promise((resolve) => {
    away.onstate = (state) => state === "waiting" && resolve();
  });
  link.cut();
  await waiting;
  const back = next(room, "onsubscribed");
  for (let n = 0; n < 30; n++) await here.publish(`${n}`);
  const subscribed = await back;
  assert.equal(subscribed.recovered, true);
  const wanted = ["before", ...Array.from({ length: 30 }, (_, n) => `${n}`)];
  assert.deepEqual(await enough, wanted);
});

test("a publish that was cut off is published once", async (t) => {
  const link = await relay();
  t.after(() => link.close());
  const topic = fresh();
  const seen = open(t).subscribe(topic);
  await next(seen, "onsubscribed");
  const { enough } = collect(seen, (texts) => texts.includes("last"));
  const away = open(t, link.url).subscribe(topic);
  await next(away, "onsubscribed");
  const published = [];
  for (let n = 0; n < 50; n++) published.push(away.publish(`${n}`));
  link.cut();
  await Promise.all(published);
  await away.publish("last");
  const wanted = [...Array.from({ length: 50 }, (_, n) => `${n}`), "last"];
  assert.deepEqual(await enough, wanted);
});

test("a forged position is told as lost", async (t) => {
  const topic = fresh();
  const room = open(t).subscribe(topic, { after: "AAAAAAAAAAE:7:AAAAAAAAAAE" });
  let lost = 0;
  room.onlost = () => lost++;
  assert.equal((await next(room, "onsubscribed")).recovered, false);
  assert.equal(lost, 1);
});

test("what a client may not do is refused with a code", async (t) => {
  const client = open(t);
  const room = client.subscribe(`room/${randomUUID()}`);
  await next(room, "onsubscribed");
  await assert.rejects(room.publish("forged"), { code: "denied" });
  const other = client.subscribe("secret/1");
  assert.equal((await next(other, "onended")).code, "denied");
  await assert.rejects(client.subscribe(fresh()).publish("x".repeat(70_000)), { code: "too-large" });
});
