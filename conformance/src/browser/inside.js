// Runs in a page of a server of others with Sockeye inside, as the body of a function: the argument takes the outcome, a list
// of { name, fault }.

const [host, done] = arguments;
const limit = 10000;

// A message of a new socket, which comes back.
function echo(message) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${location.host}/`);
    socket.binaryType = "arraybuffer";
    const timer = setTimeout(() => reject(`no echo within ${limit} ms`), limit);
    socket.onopen = () => socket.send(message);
    socket.onclose = ({ code, reason }) => reject(`closed with ${code} "${reason}"`);
    socket.onmessage = ({ data }) => {
      clearTimeout(timer);
      socket.onclose = null;
      socket.close();
      resolve({ data, extensions: socket.extensions });
    };
  });
}

const checks = {};

for (const size of [1, 125, 65536, 1000000]) {
  checks[`inside ${host}, a compressed text of ${size} bytes comes back`] = async () => {
    const text = "again and ".repeat(size / 10 + 1).slice(0, size);
    const { data, extensions } = await echo(text);
    if (!extensions.startsWith("permessage-deflate")) throw `the extensions are "${extensions}"`;
    if (data !== text) throw `${data.length} characters came back, not the same`;
  };
}

checks[`inside ${host}, bytes come back`] = async () => {
  const sent = Uint8Array.from({ length: 70000 }, (_, at) => (at * 31 + (at >> 8) * 7) & 255);
  const got = new Uint8Array((await echo(sent)).data);
  if (got.length !== sent.length || !got.every((byte, at) => byte === sent[at])) {
    throw `${got.length} bytes came back, not the same`;
  }
};

(async () => {
  const outcome = [];
  for (const [name, check] of Object.entries(checks)) {
    const fault = await check().then(() => null, (error) => String(error));
    outcome.push({ name, fault });
  }
  done(outcome);
})();
