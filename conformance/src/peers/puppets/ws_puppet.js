// A puppet of the library `ws`, in both roles.

'use strict';

const { once } = require('node:events');
const { WebSocket, WebSocketServer } = require('ws');
const { say, encode, decode, parameters, obey } = require('./puppet.js');

let socket;
let listener;

function perMessageDeflate(word) {
  if (word === 'off') return false;
  const options = { threshold: 0 };
  const numbers = parameters(word);
  if (numbers) {
    options.serverNoContextTakeover = Boolean(numbers[0]);
    options.clientNoContextTakeover = Boolean(numbers[1]);
    options.serverMaxWindowBits = numbers[2];
    options.clientMaxWindowBits = numbers[3];
    // What is false would be refused, not just left out.
    if (!numbers[0]) delete options.serverNoContextTakeover;
    if (!numbers[1]) delete options.clientNoContextTakeover;
  }
  return options;
}

function listen(to) {
  to.on('message', (data, isBinary) => say('event', isBinary ? 'binary' : 'text', encode(data)));
  to.on('close', (code, reason) => say('event closed', code, encode(reason)));
  to.on('error', () => {});
}

const sent = (send) => new Promise((resolve, reject) => send((error) => (error ? reject(error) : resolve())));

obey({
  version: () => require('ws/package.json').version,

  async connect(url, word) {
    socket = new WebSocket(url, { perMessageDeflate: perMessageDeflate(word) });
    listen(socket);
    await once(socket, 'open');
  },

  async accept(word) {
    listener?.close();
    listener = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      perMessageDeflate: perMessageDeflate(word),
    });
    listener.on('connection', (accepted) => {
      socket = accepted;
      listen(socket);
      say('event open');
    });
    await once(listener, 'listening');
    return listener.address().port;
  },

  text: (payload) => sent((done) => socket.send(decode(payload), { binary: false }, done)),
  binary: (payload) => sent((done) => socket.send(decode(payload), { binary: true }, done)),

  async fragments(kind, ...payloads) {
    for (const [at, payload] of payloads.entries()) {
      const fin = at === payloads.length - 1;
      await sent((done) => socket.send(decode(payload), { binary: kind === 'binary', fin }, done));
      if (!fin) await sent((done) => socket.ping('between', undefined, done));
    }
  },

  ping: (payload) => sent((done) => socket.ping(decode(payload), undefined, done)),

  close(code, reason) {
    if (code === '-') socket.close();
    else socket.close(Number(code), decode(reason));
  },
});
