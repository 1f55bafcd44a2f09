// uWebSockets as Bun carries it. What a handler sends is corked by the library itself.
//
// Arguments: the job, zlib's level (0: no compression; else its 6, it has no other), and whether contexts
// are taken over, and the number of topics that messages go to in turn (0: all go to one).

const [job, level, takeover, topics] = process.argv.slice(2);
const kind = takeover === "true" ? "dedicated" : "shared";
const compress = level !== "0";

const names = Array.from({ length: Number(topics) }, (_, topic) => `/subscribe/${topic}`);
let next = 0;

// What is published is also the path at which its subscribers connect.
function topic() {
  if (names.length === 0) return "/subscribe";
  const name = names[next];
  next = (next + 1) % names.length;
  return name;
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    return server.upgrade(request, { data: path }) ? undefined : new Response(null, { status: 400 });
  },
  websocket: {
    perMessageDeflate: compress && { compress: kind, decompress: kind },
    open(socket) {
      if (job !== "echo" && socket.data !== "/publish") socket.subscribe(socket.data);
    },
    message(socket, message) {
      if (job === "echo") socket.send(message, compress);
      else server.publish(topic(), message);
    },
  },
});

console.log(`127.0.0.1:${server.port}`);
