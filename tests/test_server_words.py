"""Text of a signaling server cannot get at the terminal of who asked it."""

import json
from asyncio.subprocess import DEVNULL

import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.helpers.commands import process

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\r\nicefloe: all is well\u202e\u2028\x9b31m"


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "error", "code": "\x1b[5mcode", "message": EVIL},
        {"type": "error", "code": "x" * 20_000, "message": EVIL * 500},
        {"type": EVIL},
        {"type": "joined", "id": EVIL, "peers": EVIL, "resume": "x"},
    ],
    ids=["words", "many words", "unknown type", "nonsense"],
)
async def test_a_server_s_words_are_one_printable_line(answer: object) -> None:
    async def refuse(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps(answer))
        await socket.close(4000, EVIL[:40])

    async with serve(refuse, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        arguments = ("receive", "7-amber-falcon", "--server", f"127.0.0.1:{port}", "--yes")
        async with process(*arguments, "--log-level", "debug", stdin=DEVNULL) as receiver:
            out, err = await receiver.communicate()
    assert receiver.returncode == 10
    assert out == b""
    lines = err.decode().split("\n")
    assert lines.pop() == ""
    for line in lines:
        assert line.isprintable()
        assert len(line) < 3000
    assert lines[-1].startswith("icefloe: ")
