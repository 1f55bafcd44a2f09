"""A puppet of the library `websockets`, in both roles."""

import asyncio

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

from puppet import Cannot, decode, encode, message, obey, parameters, say


def deflate(factory, word):
    """The extensions to offer or to accept: each factory has its arguments in the same order."""
    if word == "off":
        return None
    if word == "on":
        return [factory()]
    server_fresh, client_fresh, server_bits, client_bits = parameters(word)
    try:
        return [factory(bool(server_fresh), bool(client_fresh), server_bits, client_bits)]
    except ValueError as error:
        raise Cannot(error)


class Commands:
    def __init__(self):
        self.socket = None
        self.listener = None

    async def version(self):
        return websockets.__version__

    async def connect(self, url, word):
        extensions = deflate(ClientPerMessageDeflateFactory, word)
        try:
            self.socket = await connect(
                url,
                extensions=extensions,
                compression=None,
                proxy=None,
                ping_interval=None,
                max_size=None,
            )
        except NegotiationError:
            raise Cannot("it refuses the answer, as where its window would have 8 bits")
        self.reading = asyncio.create_task(self.read(self.socket))

    async def accept(self, word):
        extensions = deflate(ServerPerMessageDeflateFactory, word)
        if self.listener:
            self.listener.close(close_connections=False)
        self.listener = await serve(
            self.serve,
            "127.0.0.1",
            0,
            extensions=extensions,
            compression=None,
            ping_interval=None,
            max_size=None,
        )
        return self.listener.sockets[0].getsockname()[1]

    async def serve(self, socket):
        self.socket = socket
        say("event open")
        await self.read(socket)

    async def read(self, socket):
        try:
            async for payload in socket:
                message(payload)
        except websockets.ConnectionClosed:
            pass
        await socket.wait_closed()
        say("event closed", socket.close_code, encode(socket.close_reason or ""))

    async def text(self, payload):
        await self.socket.send(decode(payload).decode())

    async def binary(self, payload):
        await self.socket.send(decode(payload))

    async def fragments(self, kind, *payloads):
        async def parts():
            for at, payload in enumerate(map(decode, payloads)):
                yield payload.decode() if kind == "text" else payload
                await self.socket.ping(f"{kind} after {at}")

        await self.socket.send(parts())

    async def ping(self, payload):
        await self.socket.ping(decode(payload))

    async def close(self, code, reason):
        if code == "-":
            raise Cannot("it sends no Close without a code")
        await self.socket.close(int(code), decode(reason).decode())


asyncio.run(obey(Commands()))
