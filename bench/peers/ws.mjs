// Node's `ws`, as its documentation's echo has it, with `bufferutil`, which it advises for speed.
//
// Arguments: the job, zlib's level (0: no compression), whether contexts are taken over, and the number of
// topics that messages go to in turn (0: all go to one).

import { WebSocketServer } from "ws";

const [job, level, takeover, topics] = process.argv.slice(2);
// Set to false it would refuse a client that asks for it.
const without = takeover !== "true" || undefined;
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  backlog: 4096,
  perMessageDeflate: level !== "0" && {
    zlibDeflateOptions: { level: Number(level) },
    serverNoContextTakeover: without,
    clientNoContextTakeover: without,
    // 1,024 bytes by default, where contexts are not taken over.
    threshold: 128,
  },
});

// By the path at which they connect.
const paths = topics === "0" ? ["/subscribe"] : Array.from({ length: Number(topics) }, (_, topic) => `/subscribe/${topic}`);
const subscribers = new Map(paths.map((path) => [path, new Set()]));
let next = 0;

server.on("connection", (socket, request) => {
  // What ends a connection is none of ours.
  socket.on("error", () => {});
  if (job === "echo") {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  } else if (request.url === "/publish") {
    socket.on("message", (data) => {
      const path = paths[next];
      next = (next + 1) % paths.length;
      for (const subscriber of subscribers.get(path)) subscriber.send(data, { binary: true });
    });
  } else {
    const own = subscribers.get(request.url);
    own.add(socket);
    socket.on("close", () => own.delete(socket));
  }
});

server.on("listening", () => console.log(`127.0.0.1:${server.address().port}`));
