// The JavaScript client of Sockeye's topics. sockeye.d.ts describes it. License: MIT OR Apache-2.0

export const PROTOCOLS = ["sockeye.topics.v0"];
/** The close codes after which the client connects again. */
export const RECONNECT_CODES = [1001, 1006, 1011, 1012, 1013, 1014];

const MOST_WAITING = 200;
const BAD_SERVER = 4002; // a close code; browsers cannot send 1002
const RESEND_TIME = 45_000; // ms; the server remembers a key for 60 s

export function Sockeye(url, { credentials, WebSocket = globalThis.WebSocket } = {}) {
  const self = Object.assign(this, { subscribe, send, close: () => leave(1000, "") });
  const topics = new Map(); // by name
  const waiting = new Set(); // requests without an answer
  const asked = new Map(); // requests on this connection, by ref
  const stop = new AbortController();
  let socket, timer, opened, ping, after, failures = 0, lastRef = 0;

  const isOpen = () => socket?.readyState === 1;
  const has = (topic) => topics.get(topic.name) === topic;
  const wake = () => isOpen() && probe(); // Hidden pages have slow timers.
  for (const type of ["online", "pageshow", "visibilitychange"]) globalThis.addEventListener?.(type, wake, stop);
  connect();

  async function connect() {
    opened = after = undefined;
    enter("connecting");
    try {
      const ticket = await credentials?.();
      const to = new URL(typeof url === "function" ? await url() : url, globalThis.location?.href);
      if (self.state === "closed") return;
      if (ticket != null) to.searchParams.set("ticket", ticket);
      socket = new WebSocket(to.href.replace(/^http/, "ws"), PROTOCOLS);
    } catch (error) {
      leave(1006, "no attempt");
      return self.onerror?.(error);
    }
    socket.binaryType = "arraybuffer";
    socket.onopen = open;
    socket.onmessage = receive;
    socket.onclose = ({ code, reason }) => leave(code, reason);
    socket.onerror = () => {}; // onclose follows
    wait(20_000, () => leave(1006, "connect timeout"));
  }

  function open() {
    if (!PROTOCOLS.includes(socket.protocol)) return leave(BAD_SERVER, "the server does not speak topics");
    opened = Date.now();
    wait(ping = 25_000, probe);
    expire();
    topics.forEach(join);
    flush(null);
    enter("open");
  }

  function leave(code, reason) {
    if (self.state === "closed") return;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close(code < 3000 ? 1000 : code);
      socket = null;
    }
    asked.clear();
    if (!RECONNECT_CODES.includes(code)) {
      stop.abort();
      clearTimeout(timer);
      topics.clear();
      for (const { sent, settle } of waiting) settle({ code: sent ? "unknown" : "closed" });
      return enter("closed", { code, reason });
    }
    if (Date.now() - opened >= 10_000) failures = 0;
    const [low, high] = after ?? [0, Math.min(500 * 2 ** failures++, 20_000)];
    const pause = low + Math.random() * (high - low);
    expire();
    wait(pause, connect);
    enter("waiting", { code, reason, pause });
  }

  function enter(state, why) {
    self.state = state;
    self.onstate?.(state, why);
  }

  function wait(time, then) {
    clearTimeout(timer);
    timer = later(time, then);
  }

  function probe() {
    socket.send(frame({ ping: 1 }));
    wait(10_000, () => leave(1006, "ping timeout"));
  }

  function send(data) {
    if (!isOpen()) throw failure({ code: "closed" });
    socket.send(frame("", toBody(data)));
  }

  function subscribe(name, { after: position, ...options } = {}) {
    if (self.state === "closed") throw failure({ code: "closed" });
    if (topics.has(name)) throw new Error(`already subscribed to ${name}`);
    const topic = {
      ...options,
      name,
      position,
      publish: async (data) => request(topic, { pub: name, key: newKey() }, toBody(data)),
      members: ({ max } = {}) => request(topic, { who: name, max }),
      count: async () => (await request(topic, { count: name })).count,
      unsubscribe() {
        if (!has(topic)) return;
        ask({ header: { unsub: name } });
        forget(topic);
      },
    };
    topics.set(name, topic);
    join(topic);
    return topic;
  }

  function request(topic, header, body) {
    return new Promise((resolve, reject) => {
      const request = { topic, header, body, settle, first: header.pub ? null : topic };
      function settle({ ok, ...answer }) {
        waiting.delete(request);
        ok ? resolve(answer) : reject(failure(answer));
      }
      if (!has(topic)) return settle({ code: "closed" });
      if (waiting.size >= MOST_WAITING) return settle({ code: "full" });
      waiting.add(request);
      if (header.pub || topic.socket === socket) ask(request);
    });
  }

  function ask(request) {
    if (!isOpen()) return;
    const { header, body } = request;
    header.ref = lastRef = (lastRef % 2 ** 31) + 1;
    asked.set(lastRef, request);
    if (header.pub) request.sent ??= Date.now();
    socket.send(frame(header, body));
  }

  // `first`: the topic whose ok has to come first, or null.
  function flush(first) {
    for (const request of waiting) if (request.first === first) ask(request);
  }

  function expire() {
    for (const { topic, sent, settle } of waiting) {
      if (sent && !(topic.history && Date.now() - sent <= RESEND_TIME)) settle({ code: "unknown" });
    }
  }

  function join(topic) {
    const { name: sub, position, socket: previous, recent, member } = topic, mine = socket;
    ask({ header: { sub, at: position, recent: position ? undefined : recent, member }, settle });

    function settle({ at, recovered, missed, code, message, retry }) {
      if (!has(topic)) return;
      if (code) {
        const error = failure({ code, message, retry });
        if (!retry) return forget(topic, error);
        later(retry, () => has(topic) && mine === socket && join(topic));
        return topic.onerror?.(error);
      }
      Object.assign(topic, { socket, history: at, position: at });
      flush(topic);
      refresh(topic, 0);
      topic.onsubscribed?.({ recovered, missed, position: at });
      if ((position || previous) && !recovered) topic.onlost?.();
    }
  }

  function forget(topic, why) {
    topics.delete(topic.name);
    for (const { first, settle } of waiting) if (first === topic) settle({ code: "closed" });
    if (why) topic.onended?.(why);
  }

  function refresh(topic, time) {
    if (topic.onmembers) later(time, () => topic.members().then(topic.onmembers, (error) => {
      if (error.retry) refresh(topic, error.retry);
      else if (has(topic)) topic.onerror?.(error);
    }));
  }

  function receive({ data }) {
    let header, body;
    wait(ping, probe);
    try {
      const all = isText(data) ? data : new Uint8Array(data), at = all.indexOf(isText(data) ? "\n" : 10);
      const head = toText(all.slice(0, at));
      if (at < 0 || !/^({|$)/.test(head)) throw head;
      header = head && JSON.parse(head);
      body = all.slice(at + 1);
    } catch {
      return leave(BAD_SERVER, "the server sent a bad frame");
    }
    if (!header) return self.onmessage?.(new Message(body));
    const { m, lost, end, stir, ok, err = ok, at } = header;
    const topic = topics.get(m ?? lost ?? end ?? stir), request = asked.get(err);
    asked.delete(err);
    request?.settle?.(header);
    if (header.hello) {
      self.hello = header;
      wait(ping = (header.ping || 25) * 1000, probe);
    }
    if (header.bye) after = header.after;
    // Before its ok, a topic hears of an older subscription only.
    if (topic?.socket !== socket) return;
    if (at) topic.position = at;
    if (m) topic.onmessage?.(new Message(body, at));
    if (lost) topic.onlost?.();
    if (end) forget(topic, header);
    if (stir) refresh(topic, Math.random() * 3_000);
    if (stir) topic.onstir?.();
  }
}

class Message {
  constructor(data, position) { Object.assign(this, { data, position }); }
  get text() { return toText(this.data); }
  get bytes() { return isText(this.data) ? encoder.encode(this.data) : this.data; }
  json() { return JSON.parse(this.text); }
}

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true });
const later = (time, then) => setTimeout(then, Math.min(time, 300_000));
const isText = (data) => typeof data === "string";
const toText = (data) => (isText(data) ? data : decoder.decode(data));

// A frame is a header (JSON, or nothing), a line feed, and the body.
function frame(header, body = "") {
  const head = (header && JSON.stringify(header)) + "\n";
  if (isText(body)) return head + body;
  const start = encoder.encode(head), bytes = new Uint8Array(start.length + body.length);
  bytes.set(start);
  bytes.set(body, start.length);
  return bytes;
}

function toBody(data) {
  if (data?.byteLength >= 0) return new Uint8Array(data.buffer ?? data, data.byteOffset, data.byteLength).slice();
  return isText(data) ? data : JSON.stringify(data);
}

// 18 random bytes, in base64url.
const newKey = () => btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18)))).replace(/[+/]/g, "_");
const failure = ({ code, message = `the request failed: ${code}`, retry }) =>
  Object.assign(new Error(message), { code, retry });
