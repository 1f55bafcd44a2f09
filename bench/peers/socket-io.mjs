// Socket.IO with rooms, on WebSocket alone.
//
// Arguments: the job, zlib's level and whether contexts are taken over (both unused), and the number of rooms
// that messages go to in turn.

import { createServer } from "node:http";
import { Server } from "socket.io";

const topics = Number(process.argv[5]);
const rooms = Array.from({ length: topics }, (_, topic) => `/subscribe/${topic}`);
let next = 0;

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });

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
