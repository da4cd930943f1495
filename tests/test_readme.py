"""What the README shows works as it stands there."""

import asyncio
import re
import sys
from pathlib import Path

from icefloe.peer import join
from icefloe.signaling import serve

README = Path(__file__).parent.parent / "README.md"


async def test_the_example_of_the_room_api_runs() -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    example = next(text for text in examples if "join(" in text)
    async with serve("127.0.0.1", 0) as server:
        program = example.replace("ws://127.0.0.1:8080/ws", server.url)
        assert program != example
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", "-c", program, stdout=asyncio.subprocess.PIPE
        )
        async with join(server.url, room="lobby", name="reader") as room:
            bot = await room.peer("bot")
            chat = await anext(aiter(bot.channels()))
            hello = await chat.receive()
            assert isinstance(hello, str)
            assert re.fullmatch(r"hello reader, we are connected by host/udp -> .*direct", hello)
            await chat.send("good day")
            assert process.stdout is not None
            assert await process.stdout.readline() == b"good day\n"
        process.terminate()
        await process.communicate()
