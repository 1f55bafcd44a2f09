"""A puppet of the library `aiohttp`, in both roles."""

import asyncio

import aiohttp
from aiohttp import web

from puppet import Cannot, decode, encode, message, obey, parameters, say


class Commands:
    def __init__(self):
        self.socket = None
        self.runner = None
        self.session = None

    async def version(self):
        return aiohttp.__version__

    async def connect(self, url, word):
        self.session = self.session or aiohttp.ClientSession()
        bits = {"off": 0, "on": 15}.get(word)
        if bits is None:
            *rest, bits, client_bits = parameters(word)
            if rest != [0, 0] or client_bits != 15 or bits < 9:
                raise Cannot("it demands nothing but the server's window, of 9 to 15 bits")
        try:
            self.socket = await self.session.ws_connect(url, compress=bits, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            if "window" in error.message:
                raise Cannot("it refuses the answer, as where its window would have 8 bits")
            raise
        self.reading = asyncio.create_task(self.read(self.socket))

    async def accept(self, word):
        if word not in ("off", "on"):
            raise Cannot("its server demands nothing")
        if self.runner:
            await self.runner.cleanup()

        async def serve(request):
            self.socket = web.WebSocketResponse(compress=word == "on", max_msg_size=0)
            await self.socket.prepare(request)
            say("event open")
            await self.read(self.socket)
            return self.socket

        application = web.Application()
        application.router.add_get("/", serve)
        self.runner = web.AppRunner(application, shutdown_timeout=1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return self.runner.addresses[0][1]

    async def read(self, socket):
        self.over = asyncio.Event()
        while True:
            received = await socket.receive()
            if received.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                message(received.data)
            elif received.type == aiohttp.WSMsgType.CLOSING:
                # This side closes, and what comes of that is told there. A server's connection ends
                # with the function that serves it.
                await self.over.wait()
                return
            else:
                code = received.data if received.type == aiohttp.WSMsgType.CLOSE else 1006
                say("event closed", code, encode(received.extra or ""))
                return

    async def text(self, payload):
        await self.socket.send_str(decode(payload).decode())

    async def binary(self, payload):
        await self.socket.send_bytes(decode(payload))

    async def fragments(self, *_):
        raise Cannot("it sends no fragments")

    async def ping(self, payload):
        await self.socket.ping(decode(payload))

    async def close(self, code, reason):
        if code == "-":
            raise Cannot("it sends no Close without a code")
        await self.socket.close(code=int(code), message=decode(reason))
        say("event closed", self.socket.close_code, "-")
        self.over.set()


asyncio.run(obey(Commands()))
