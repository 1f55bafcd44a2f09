// What the puppets in JavaScript share: the line protocol of conformance/src/peers/puppet.rs.

'use strict';

const readline = require('node:readline');

class Cannot extends Error {}

const say = (...words) => process.stdout.write(words.join(' ') + '\n');
const encode = (payload) => Buffer.from(payload).toString('base64') || '-';
const decode = (word) => (word === '-' ? Buffer.alloc(0) : Buffer.from(word, 'base64'));

// null for off and on; else whether each side drops its context, and the sides' window bits.
const parameters = (word) => (word === 'off' || word === 'on' ? null : word.split(',').map(Number));

// Carries out the commands on stdin until it ends; `commands` has a method for each.
async function obey(commands) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ');
    try {
      const answer = await commands[name](...words);
      say('ok', ...(answer === undefined ? [] : [answer]));
    } catch (error) {
      say(error instanceof Cannot ? 'cannot' : 'failed', String(error.message).replaceAll('\n', ' '));
    }
  }
  process.exit(0);
}

module.exports = { Cannot, say, encode, decode, parameters, obey };
