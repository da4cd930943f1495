"""``icefloe serve`` is told of Redis by a flag, a variable or a file, and shows no password."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from icefloe.signaling import RedisConfiguration
from tests.helpers.command import icefloe, run
from tests.helpers.redis_server import redis_server

SECRET = "hunter2-Ab3"


def test_a_configuration_shows_no_password() -> None:
    configuration = RedisConfiguration(url=f"redis://user:{SECRET}@redis.example:6379")
    assert SECRET not in repr(configuration)


@pytest.mark.system("redis")
async def test_the_url_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    async with redis_server("--requirepass", SECRET) as redis:
        url = f"{redis.url}?password={SECRET}"
        file = tmp_path / "redis-url"
        file.write_text(f"{url}\n")
        async with (
            icefloe("serve", ICEFLOE_REDIS=url) as one,
            icefloe("serve", "--redis-file", str(file)) as other,
        ):
            for command in (one, other):
                code, logged = await command.end()
                assert code == 0
                assert "Redis is away" not in logged
                assert SECRET not in logged
        async with Redis.from_url(url) as client:
            position = await client.hget("icefloe:1:head", "position")
        assert position is not None
        assert int(position) > 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--redis", f"http://:{SECRET}@redis.example"), "redis://"),
        (("--redis", "redis://localhost", "--redis-prefix", "a b"), "prefix"),
        (("--redis", "redis://localhost", "--redis-file", __file__), "give --redis or"),
        (("--redis", f"redis://:{SECRET}@localhost:port"), "URL"),
    ],
)
async def test_what_cannot_be_used_is_refused(arguments: tuple[str, ...], sentence: str) -> None:
    code, printed, logged = await run("serve", "--port", "0", *arguments)
    assert code == 2
    assert sentence in " ".join((printed + logged).split())
    assert SECRET not in printed + logged
