// Socket.IO with rooms, on WebSocket alone.
//
// Arguments: the job, zlib's level and whether contexts are taken over (both unused), the number of rooms that
// messages go to in turn, and the address of the Redis server by which two of these programs share them (none:
// there is one program).

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const topics = Number(process.argv[5]);
const redis = process.argv[6];
const rooms = Array.from({ length: topics }, (_, topic) => `/subscribe/${topic}`);
let next = 0;

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });

if (redis) {
  const publisher = createClient({ url: `redis://${redis}` });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

io.on("connection", (socket) => {
  const { path } = socket.handshake.query;
  if (path !== "/publish") {
    socket.join(path);
    return;
  }
  socket.on("m", (text) => {
    const room = rooms[next];
    next = (next + 1) % rooms.length;
    io.to(room).emit("m", text);
  });
});

http.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => console.log(`127.0.0.1:${http.address().port}`));
