"""A puppet of the library `tornado`, in both roles. It compresses by `get_compression_options` or
`compression_options` of `{}`: its own defaults."""

import asyncio

import tornado
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

from puppet import Cannot, decode, encode, message, obey, say


def closed(socket):
    # It tells no code for a Close that has none.
    say("event closed", socket.close_code or 1005, encode(socket.close_reason or ""))


class Handler(WebSocketHandler):
    def initialize(self, commands, options):
        self.commands = commands
        self.options = options

    def get_compression_options(self):
        return self.options

    def open(self):
        self.commands.socket = self
        say("event open")

    def on_message(self, payload):
        message(payload)

    def on_close(self):
        closed(self)


def options(word, cannot):
    if word not in ("off", "on"):
        raise Cannot(cannot)
    return {} if word == "on" else None


class Commands:
    def __init__(self):
        self.socket = None
        self.server = None

    async def version(self):
        return tornado.version

    async def connect(self, url, word):
        socket = None

        def read(payload):
            if payload is not None:
                message(payload)
            elif socket:
                closed(socket)

        offer = options(word, "it always makes the same offer")
        try:
            socket = await websocket_connect(
                url, compression_options=offer, on_message_callback=read
            )
        except StreamClosedError:
            raise Cannot("it refuses the answer, as where its window would have 8 bits")
        self.socket = socket

    async def accept(self, word):
        arguments = {"commands": self, "options": options(word, "its server demands nothing")}
        if self.server:
            self.server.stop()
        self.server = HTTPServer(Application([("/", Handler, arguments)]))
        sockets = bind_sockets(0, "127.0.0.1")
        self.server.add_sockets(sockets)
        return sockets[0].getsockname()[1]

    async def text(self, payload):
        await self.socket.write_message(decode(payload).decode())

    async def binary(self, payload):
        await self.socket.write_message(decode(payload), binary=True)

    async def fragments(self, *_):
        raise Cannot("it sends no fragments")

    async def ping(self, payload):
        self.socket.ping(decode(payload))

    async def close(self, code, reason):
        if code == "-":
            self.socket.close()
        else:
            self.socket.close(int(code), decode(reason).decode())


asyncio.run(obey(Commands()))
