// What the tests put in the place of a server, a clock and a browser.

import { mock } from "node:test";

import { Sockeye } from "../sockeye.js";

/** A `WebSocket` without a network. It checks the codes of `close` as browsers do. */
class FakeWebSocket {
  readyState = 0;
  protocol = "";
  sent = [];
  closedWith = null;

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FakeWebSocket.created(this);
  }

  send(data) {
    if (this.readyState === 0) throw new Error("send before open");
    if (this.readyState === 1) this.sent.push(data);
  }

  close(code) {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) throw new Error(`close with ${code}`);
    this.closedWith ??= code;
    if (this.readyState < 2) this.readyState = 2;
  }
}

/** The other end: it sees each connection, and plays the server. */
export class FakeServer {
  sockets = [];

  constructor() {
    FakeWebSocket.created = (socket) => this.sockets.push(socket);
    mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1e12 });
  }

  /** Starts a client that notes its states and errors. */
  start(options = {}, url = "ws://host/topics") {
    const client = new Sockeye(url, { WebSocket: FakeWebSocket, ...options });
    client.states = [];
    client.errors = [];
    client.onstate = (state, why) => client.states.push({ state, ...why });
    client.onerror = ({ message }) => client.errors.push(message);
    return client;
  }

  /** Starts a client, and waits for its first attempt. */
  async client(options, url) {
    const client = this.start(options, url);
    await settle();
    return client;
  }

  /** Starts a client, and opens its connection. */
  async open(options) {
    const client = await this.client(options);
    this.accept();
    return client;
  }

  get socket() {
    return this.sockets.at(-1);
  }

  accept(protocol = "sockeye.topics.v0") {
    this.socket.readyState = 1;
    this.socket.protocol = protocol;
    this.socket.onopen();
  }

  /** Sends a text frame. The header is an object, or nothing. */
  send(header, body = "") {
    this.sendRaw(`${header && JSON.stringify(header)}\n${body}`);
  }

  /** Sends a string as a text frame, and a Uint8Array as a binary frame. */
  sendRaw(data) {
    this.socket.onmessage?.({ data: typeof data === "string" ? data : Uint8Array.from(data).buffer });
  }

  close(code, reason = "") {
    this.socket.readyState = 3;
    this.socket.onclose?.({ code, reason });
  }

  /** Returns the frames of a connection that came since the last call, as `[header]` or `[header, body]`. */
  taken(socket = this.socket) {
    return socket.sent.splice(0).map((data) => {
      const bytes = Buffer.from(data);
      const at = bytes.indexOf(10);
      const header = at === 0 ? "" : JSON.parse(bytes.subarray(0, at).toString());
      if (bytes.length === at + 1) return [header];
      return [header, typeof data === "string" ? bytes.subarray(at + 1).toString() : data.slice(at + 1)];
    });
  }

  /** Loses the connection, lets the pause pass, and accepts the next one. */
  async reconnect() {
    this.close(1006);
    await this.pass(0);
    this.accept();
  }

  /** Lets the time pass. */
  async pass(time) {
    mock.timers.tick(time);
    await settle();
  }

  static reset() {
    mock.timers.reset();
    mock.restoreAll();
  }
}

/** Sets what `Math.random()` returns. */
export function random(value) {
  mock.method(Math, "random", () => value);
}

/** Waits until no promise has more to do. */
export function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Returns the error of a promise that has to reject. */
export function rejection(promise) {
  return promise.then(
    (value) => { throw new Error(`resolved with ${JSON.stringify(value)}`); },
    ({ code, message, retry }) => ({ code, message, retry }),
  );
}
