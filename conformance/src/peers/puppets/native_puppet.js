// A puppet of Node's own `WebSocket`, which is the browser's object; a client only.

'use strict';

const { once } = require('node:events');
const { Cannot, say, encode, decode, obey } = require('./puppet.js');

let socket;

obey({
  version: () => process.versions.node,

  async connect(url, word) {
    if (word !== 'on') throw new Cannot('it always makes the same offer');
    socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) =>
      say('event', typeof data === 'string' ? 'text' : 'binary', encode(data));
    socket.onclose = ({ code, reason }) => say('event closed', code, encode(reason));
    const failed = new Promise((_, reject) => {
      socket.onerror = ({ message }) => reject(new Error(message));
    });
    failed.catch(() => {});
    await Promise.race([once(socket, 'open'), failed]);
  },

  text: (payload) => socket.send(decode(payload).toString()),
  binary: (payload) => socket.send(decode(payload)),

  fragments() {
    throw new Cannot('it sends no fragments');
  },
  ping() {
    throw new Cannot('it sends no pings');
  },

  close(code, reason) {
    try {
      if (code === '-') socket.close();
      else socket.close(Number(code), decode(reason).toString());
    } catch (error) {
      if (error.name === 'InvalidAccessError') throw new Cannot(`it closes with 1000 and 3000 to 4999 only`);
      throw error;
    }
  },
});
