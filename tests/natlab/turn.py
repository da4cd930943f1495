"""coturn at the lab's public addresses."""

import asyncio
import base64
import hashlib
import hmac
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import trustme

from tests.helpers import system
from tests.helpers.turn import PASSWORD, REALM, USER
from tests.natlab import enforcer
from tests.natlab.namespace import DEVNULL, CommandFailed, Process, stop
from tests.natlab.plan import DEAD, PUBLIC, SERVERS
from tests.natlab.topology import Lab

SECRET = "lab"
"""The secret from which time-limited credentials are made."""

PORT, TLS_PORT = 3478, 443

IceServer = dict[str, Any]
"""W3C's ``RTCIceServer`` as JSON has it."""


def time_limited(lifetime: float) -> tuple[str, str]:
    """Return a user name and password that hold for so many seconds."""
    username = f"{time.time() + lifetime:.0f}:{USER}"
    digest = hmac.digest(SECRET.encode(), username.encode(), hashlib.sha1)
    return username, base64.b64encode(digest).decode()


class Credentials(StrEnum):
    """The way in which the server knows its users."""

    LONG_TERM = "long-term"
    """One user with a password (RFC 8489 section 9.2)."""

    TIME_LIMITED = "time-limited"
    """Names that say until when they hold, and passwords made from a shared secret."""

    ENFORCED = "enforced"
    """The same, and an allocation ends when the name that it was made with expires."""


@dataclass
class Turn:
    """A coturn: STUN and TURN over UDP and TCP at port 3478, over TLS at port 443.

    Attributes:
        lab: The lab.
        folder: Where its files are; ``ca.pem`` is what clients verify it with.
        credentials: How it knows its users.
        number: At which of the public addresses it is.
    """

    lab: Lab
    folder: Path
    credentials: Credentials = Credentials.LONG_TERM
    number: int = 0
    _process: Process | None = field(default=None, init=False)
    _enforcer: Process | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        ca = trustme.CA()
        certificate = ca.issue_cert(*self.addresses)
        ca.cert_pem.write_to_path(self.ca)
        certificate.private_key_pem.write_to_path(self.folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "cert.pem")
        lines = [
            *(
                f"{kind}-ip={address}"
                for kind in ("listening", "relay")
                for address in self.addresses
            ),
            f"listening-port={PORT}",
            f"tls-listening-port={TLS_PORT}",
            f"realm={REALM}",
            f"cert={self.folder}/cert.pem",
            f"pkey={self.folder}/key.pem",
            f"userdb={self.folder}/turndb",
            f"pidfile={self.folder}/turn.pid",
            "log-file=stdout",
            *("fingerprint", "no-cli", "no-multicast-peers", "relay-threads=1"),
        ]
        if self.credentials is Credentials.LONG_TERM:
            lines += ["lt-cred-mech", f"user={USER}:{PASSWORD}"]
        else:
            if self.credentials is Credentials.ENFORCED:
                lines.remove("no-cli")
                lines += [f"cli-port={enforcer.PORT}", f"cli-password={enforcer.PASSWORD}"]
            lines += ["use-auth-secret", f"static-auth-secret={SECRET}"]
        (self.folder / "turn.conf").write_text("\n".join(lines) + "\n")

    @property
    def addresses(self) -> tuple[str, str]:
        """Its IPv4 and its IPv6 address."""
        return SERVERS[self.number]

    @property
    def ca(self) -> Path:
        """The file with the certificate of the authority that vouches for it."""
        return self.folder / "ca.pem"

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            CommandFailed: It ended at once; its output is in the error.
        """
        program = system.find("turnserver")
        assert program is not None
        with (self.folder / "turn.log").open("wb") as log:
            self._process = await self.lab[PUBLIC].start(
                program, "-c", str(self.folder / "turn.conf"), stdin=DEVNULL, stdout=log, stderr=log
            )
        wanted = [f"{address}:{port}" for port in (PORT, TLS_PORT) for address in self.addresses]
        wanted = [w if ":" not in w.rsplit(":", 1)[0] else _bracketed(w) for w in wanted]
        while self._process.returncode is None:
            listening = await self.lab.run(PUBLIC, "ss", "-Hlnt")
            if all(f" {address} " in listening for address in wanted):
                await self._start_enforcer()
                return
            await asyncio.sleep(0.01)
        output = (self.folder / "turn.log").read_text()
        raise CommandFailed((program,), self._process.returncode, output)

    async def _start_enforcer(self) -> None:
        if self.credentials is not Credentials.ENFORCED:
            return
        with (self.folder / "enforcer.log").open("wb") as log:
            self._enforcer = await self.lab[PUBLIC].start(
                sys.executable, enforcer.__file__, stdin=DEVNULL, stdout=log, stderr=log
            )
        while '"ready"' not in (self.folder / "enforcer.log").read_text():
            assert self._enforcer.returncode is None
            await asyncio.sleep(0.01)

    @property
    def ended(self) -> int:
        """The number of allocations that were ended because their names had expired."""
        said = (self.folder / "enforcer.log").read_text()
        assert self._enforcer is not None and self._enforcer.returncode is None, said
        return said.count('"ended"')

    async def stop(self) -> None:
        """End it; its allocations are gone. Idempotent."""
        if self._enforcer is not None:
            await stop(self._enforcer)
            self._enforcer = None
        if self._process is not None:
            await stop(self._process)
            self._process = None

    # --- what clients are told

    def stun(self, *, ipv6: bool = False) -> IceServer:
        """Return it as a STUN server."""
        return {"urls": [f"stun:{self._host(ipv6)}:{PORT}"]}

    def turn(self, *transports: str, ipv6: bool = False, lifetime: float = 3600) -> IceServer:
        """Return it as a TURN server.

        Args:
            transports: Of ``udp``, ``tcp``, ``tls``, in this order; all of them by default.
            ipv6: Whether its IPv6 address is told instead of the other.
            lifetime: Seconds that time-limited credentials hold; negative if they did before.
        """
        host = self._host(ipv6)
        username, credential = USER, PASSWORD
        if self.credentials is not Credentials.LONG_TERM:
            username, credential = time_limited(lifetime)
        urls = [_url(host, transport) for transport in transports or ("udp", "tcp", "tls")]
        return {"urls": urls, "username": username, "credential": credential}

    def _host(self, ipv6: bool) -> str:
        return f"[{self.addresses[1]}]" if ipv6 else self.addresses[0]


def dead_turn(*transports: str) -> IceServer:
    """Return a TURN server that drops everything."""
    urls = [_url(DEAD[0], transport) for transport in transports or ("udp", "tcp", "tls")]
    return {"urls": urls, "username": USER, "credential": PASSWORD}


def dead_stun() -> IceServer:
    """Return a STUN server that drops everything."""
    return {"urls": [f"stun:{DEAD[0]}:{PORT}"]}


def _url(host: str, transport: str) -> str:
    if transport == "tls":
        return f"turns:{host}:{TLS_PORT}?transport=tcp"
    return f"turn:{host}:{PORT}?transport={transport}"


def _bracketed(endpoint: str) -> str:
    host, port = endpoint.rsplit(":", 1)
    return f"[{host}]:{port}"


@asynccontextmanager
async def coturn(
    lab: Lab, credentials: Credentials = Credentials.LONG_TERM, number: int = 0
) -> AsyncIterator[Turn]:
    """Run coturn until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="icefloe-turn-") as folder:
        turn = Turn(lab, Path(folder), credentials, number)
        try:
            await turn.start()
            yield turn
        finally:
            await turn.stop()
