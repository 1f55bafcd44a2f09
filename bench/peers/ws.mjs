// Node's `ws`, as its documentation's echo has it, with `bufferutil`, which it advises for speed.
//
// Arguments: the job, zlib's level (0: no compression), and whether contexts are taken over.

import { WebSocketServer } from "ws";

const [job, level, takeover] = process.argv.slice(2);
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

const subscribers = new Set();

server.on("connection", (socket, request) => {
  // What ends a connection is none of ours.
  socket.on("error", () => {});
  if (job === "echo") {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  } else if (request.url === "/publish") {
    socket.on("message", (data) => {
      for (const subscriber of subscribers) subscriber.send(data, { binary: true });
    });
  } else {
    subscribers.add(socket);
    socket.on("close", () => subscribers.delete(socket));
  }
});

server.on("listening", () => console.log(`127.0.0.1:${server.address().port}`));
