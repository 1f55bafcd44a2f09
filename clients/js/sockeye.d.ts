/** The subprotocols that the client offers. */
export const PROTOCOLS: readonly string[];

/**
 * The close codes after which the client connects again. 1006 stands for a lost connection and for a failed attempt.
 * After every other code the client is closed for good.
 */
export const RECONNECT_CODES: readonly number[];

/**
 * - `connecting`: an attempt to connect runs.
 * - `open`: the connection is open.
 * - `waiting`: there is no connection, and the next attempt follows after a pause.
 * - `closed`: the client has ended, and does not connect again.
 */
export type State = "connecting" | "open" | "waiting" | "closed";

/** The reason for the state `waiting` or `closed`. */
export interface Why {
  /**
   * The close code. 1006: the connection was lost, or the attempt failed. 4002: the server does not speak topics, or
   * sent a bad frame.
   */
  code: number;
  /** The reason that the server gave, or the client's own. */
  reason: string;
  /** The time until the next attempt, in ms. Only for `waiting`. The client waits for five minutes at most. */
  pause?: number;
}

/** The error that a request rejects with. */
export interface SockeyeError extends Error {
  /**
   * A code of the server (`bad-request`, `bad-topic`, `denied`, `too-many`, `too-large`, `rate`, `unavailable`,
   * `evicted`, `unknown`, `internal`) or of the client:
   *
   * - `unknown`: the connection was lost after the publish was sent. The message may be published, or not.
   * - `closed`: the client is closed, or the subscription has ended. A publish was not sent.
   * - `full`: 200 requests wait for an answer. The request was not sent.
   */
  code: string;
  /** The time in ms after which repeating may help. */
  retry?: number;
}

/** What can be sent: text, bytes, or a value that is sent as JSON text. */
export type Data = string | ArrayBuffer | ArrayBufferView | object | number | boolean | null;

/** A message of a topic, or of the application. */
export class Message {
  private constructor();
  /** The message as it came: a string for a text message, bytes for a binary one. */
  readonly data: string | Uint8Array;
  /** The message as text. Fails with a `TypeError` if the bytes are not UTF-8. */
  readonly text: string;
  /** The message as bytes. A text is encoded in UTF-8. */
  readonly bytes: Uint8Array;
  /** The position of the message in its topic; `undefined` without history. */
  readonly position?: string;
  /** Parses the text as JSON. */
  json<T = any>(): T;
}

export interface SubscribeOptions {
  /** The number of recent messages to get first. It has no effect if a position is known. */
  recent?: number;
  /** The position of the last message that the application has. The messages after it come first. */
  after?: string | undefined;
  /** What other clients see of this one in the list of members. At most 1 KiB as JSON. */
  member?: unknown;
}

export interface Subscribed {
  /** `true`: no message is missing. `false`: some are lost. `null`: the client had no position. */
  recovered: boolean | null;
  /** The number of messages that follow as replay. */
  missed: number;
  /** The position before the first of them; `undefined` without history. */
  position?: string;
}

export interface Members<M = any> {
  members: M[];
  /** Whether the list is complete. */
  all: boolean;
}

/** A subscription. Set its `on…` properties in the turn of the event loop that creates it: no event comes earlier. */
export interface Topic {
  readonly name: string;
  /** The position of the newest message that came. It can be stored, and given to `subscribe` as `after`. */
  readonly position?: string;

  /** Called with each message, in the order of the topic. */
  onmessage?: ((message: Message) => void) | null;
  /** Called when the server has confirmed the subscription, also after each reconnect. */
  onsubscribed?: ((subscribed: Subscribed) => void) | null;
  /**
   * Called when messages are lost, or may be: fetch the state anew. The subscription stays. Without history this is
   * called after each reconnect.
   */
  onlost?: (() => void) | null;
  /** Called when members have joined or left. */
  onstir?: (() => void) | null;
  /** Called with the list of members after each confirmation, and within about 3 s of a change. */
  onmembers?: ((members: Members) => void) | null;
  /** Called once when the server refuses or ends the subscription. */
  onended?: ((why: { code: string }) => void) | null;
  /**
   * Called when the server cannot confirm the subscription now, and the client will ask again after `retry`. Also
   * called when the server refuses the list for `onmembers`.
   */
  onerror?: ((error: SockeyeError) => void) | null;

  /**
   * Publishes a message. It resolves when the server has ordered the message; `stored` is its position if the topic has
   * history. It rejects with a `SockeyeError`. The publisher receives its own message like every subscriber.
   */
  publish(data: Data): Promise<{ stored?: string }>;
  /** Asks for the members, at most `max` of them. */
  members(options?: { max?: number }): Promise<Members>;
  /** Asks for the number of members. */
  count(): Promise<number>;
  /** Ends the subscription. No event follows. */
  unsubscribe(): void;
}

export interface Options {
  /** Returns a ticket, which goes into the query of the URL as `ticket`. It is called before each connect. */
  credentials?: () => string | null | undefined | Promise<string | null | undefined>;
  /** The `WebSocket` to use. The default is the global one. */
  WebSocket?: new (url: string, protocols: string[]) => any;
}

/** The first frame of the server. */
export interface Hello {
  /** The public member id of this client. Each connection has a new one. */
  me: string;
  /** The name of the node. */
  node: string;
  /** The number of topics that a connection may subscribe to. */
  topics: number;
}

/** A connection that comes back when it is lost, and its topics. */
export class Sockeye {
  /**
   * Connects. The URL may be relative to the page, and may begin with `http`, `https`, `ws` or `wss`. A function is called
   * before each connect.
   */
  constructor(url: string | URL | (() => string | URL | Promise<string | URL>), options?: Options);

  readonly state: State;
  /** What the server said of the newest connection. */
  readonly hello?: Hello;

  /** Called when the state changes. */
  onstate?: ((state: State, why?: Why) => void) | null;
  /** Called with each message that the application of the server sends outside of topics. */
  onmessage?: ((message: Message) => void) | null;
  /** Called when there is no URL or no ticket to connect with. Another attempt follows. */
  onerror?: ((error: Error) => void) | null;

  /** Subscribes to a topic. Throws if there is a subscription to it, or if the client is closed. */
  subscribe(topic: string, options?: SubscribeOptions): Topic;
  /** Sends a message to the application of the server, outside of topics. Throws while the connection is not open. */
  send(data: Data): void;
  /** Closes the connection with 1000. The client does not connect again, and no topic gets an event. */
  close(): void;
}
