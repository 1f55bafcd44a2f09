"""What the puppets in Python share: the line protocol of conformance/src/peers/puppet.rs."""

import asyncio
import base64
import sys


class Cannot(Exception):
    """The library has no way to do that; says why."""


def say(*words):
    print(*words, flush=True)


def encode(payload):
    if isinstance(payload, str):
        payload = payload.encode()
    return base64.b64encode(payload).decode() or "-"


def decode(word):
    return b"" if word == "-" else base64.b64decode(word)


def message(payload):
    say("event", "text" if isinstance(payload, str) else "binary", encode(payload))


def parameters(word):
    """None for off and on; else whether each side drops its context, and the sides' window bits."""
    if word in ("off", "on"):
        return None
    return tuple(int(number) for number in word.split(","))


async def obey(commands):
    """Carries out the commands on stdin until it ends; `commands` has a method for each."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        name, *words = line.decode().split()
        try:
            answer = await getattr(commands, name)(*words)
            say("ok", *([] if answer is None else [answer]))
        except Cannot as why:
            say("cannot", why)
        except Exception as error:
            say("failed", repr(error).replace("\n", " "))
