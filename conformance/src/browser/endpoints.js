// Runs in a page that `sockeye serve` gave out, as the body of a function: the first argument is the
// address of the server (ws://host:port), the last one takes the outcome, a list of { name, fault }.

const [server, done] = arguments;
const sizes = [0, 1, 125, 126, 65535, 65536, 1000000];
const limit = 10000;

// An event of a socket; fails when the socket closes instead, or nothing comes.
function next(socket, type) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(`no ${type} within ${limit} ms`), limit);
    const settle = (end) => (value) => { clearTimeout(timer); end(value); };
    socket.addEventListener(type, settle(resolve), { once: true });
    if (type !== "close") {
      socket.addEventListener("close", settle((event) =>
        reject(`closed with ${event.code} "${event.reason}" instead of ${type}`)), { once: true });
    }
  });
}

async function open(path, protocols = []) {
  const socket = new WebSocket(server + path, protocols);
  socket.binaryType = "arraybuffer";
  await next(socket, "open");
  return socket;
}

async function closed(socket) {
  const { code, reason, wasClean } = await next(socket, "close");
  return { code, reason, wasClean };
}

function equal(actual, expected) {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== e) throw `got ${a} instead of ${e}`;
}

// Bytes without a period that a mistake in offsets could hide behind.
function bytes(size) {
  return Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >> 8) * 7) & 255);
}

function text(size) {
  return Array.from(bytes(size), (byte) => String.fromCharCode(32 + (byte % 95))).join("");
}

const checks = {};

for (const size of sizes) {
  checks[`a text of ${size} bytes comes back`] = async () => {
    const socket = await open("/echo");
    socket.send(text(size));
    const { data } = await next(socket, "message");
    equal(typeof data, "string");
    if (data !== text(size)) throw `${data.length} characters came back, not the same`;
    socket.close();
  };
  checks[`a binary of ${size} bytes comes back`] = async () => {
    const socket = await open("/echo");
    socket.send(bytes(size));
    const { data } = await next(socket, "message");
    const [sent, got] = [bytes(size), new Uint8Array(data)];
    if (got.length !== size || !got.every((byte, at) => byte === sent[at])) {
      throw `${got.length} bytes came back, not the same`;
    }
    socket.close();
  };
}

checks["a text beyond ASCII comes back"] = async () => {
  const socket = await open("/echo");
  socket.send("grüße, 紅鮭 🐟");
  equal((await next(socket, "message")).data, "grüße, 紅鮭 🐟");
  socket.close();
};

checks["a hundred messages come back in their order"] = async () => {
  const socket = await open("/echo");
  const sent = Array.from({ length: 100 }, (_, number) => `message ${number}`);
  const got = [];
  const all = new Promise((resolve) => socket.addEventListener("message", ({ data }) => {
    if (got.push(data) === sent.length) resolve();
  }));
  sent.forEach((message) => socket.send(message));
  await Promise.race([all, next(socket, "close").then(() => { throw "closed too early"; })]);
  equal(got, sent);
  socket.close();
};

checks["the subprotocol is negotiated"] = async () => {
  const socket = await open("/echo", ["unknown.example", "echo.sockeye"]);
  equal(socket.protocol, "echo.sockeye");
  socket.close();
};

checks["without an offer there is no subprotocol"] = async () => {
  const socket = await open("/echo");
  equal(socket.protocol, "");
  socket.close();
};

checks["the server closes with a code and a reason"] = async () => {
  const socket = await open("/echo");
  socket.send("close 4001 some reason");
  equal(await closed(socket), { code: 4001, reason: "some reason", wasClean: true });
};

checks["a reason beyond ASCII arrives"] = async () => {
  const socket = await open("/echo");
  socket.send("close 3000 genug für heute");
  equal(await closed(socket), { code: 3000, reason: "genug für heute", wasClean: true });
};

checks["the page closes with a code and a reason"] = async () => {
  const socket = await open("/echo");
  socket.close(4002, "another reason");
  // What the event shows is the server's answer: what came, sent back.
  equal(await closed(socket), { code: 4002, reason: "another reason", wasClean: true });
};

checks["the page closes without a code"] = async () => {
  const socket = await open("/echo");
  socket.close();
  equal(await closed(socket), { code: 1005, reason: "", wasClean: true });
};

checks["the server pushes unasked"] = async () => {
  const socket = await open("/push");
  const first = await next(socket, "message");
  const second = await next(socket, "message");
  equal([typeof first.data, typeof second.data], ["string", "string"]);
  if (first.data === second.data) throw `the same twice: ${first.data}`;
  socket.close();
};

(async () => {
  const outcome = [];
  for (const [name, check] of Object.entries(checks)) {
    const fault = await check().then(() => null, (error) => String(error));
    outcome.push({ name, fault });
  }
  done(outcome);
})();
