"""``rediss://``: the certificate of Redis is verified."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from icefloe.signaling import RedisConfiguration, ServerConfiguration, serve
from tests.helpers.balancer import Balancer
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.system("redis")


@asynccontextmanager
async def tls_before(redis: RedisServer, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Run what takes TLS and leads to Redis, as stunnel would; its port."""
    way = Balancer([])

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, onward = await asyncio.open_unix_connection(f"{redis.folder}/redis.sock")
        way.join(reader, writer, back, onward)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await way.end()


async def test_a_certificate_that_an_authority_has_signed_is_needed(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icefloe.signaling.server._READY_SECONDS", 1.0)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with tls_before(redis, context) as port:
        for query, is_ready in ((f"?ssl_ca_certs={tmp_path}/ca.pem", True), ("", False)):
            url = f"rediss://127.0.0.1:{port}/0{query}"
            configuration = ServerConfiguration(redis=RedisConfiguration(url=url))
            async with serve(port=0, configuration=configuration) as server:
                assert server._hub.is_ready == is_ready
