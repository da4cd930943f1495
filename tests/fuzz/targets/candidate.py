"""Candidates of the other side: what signaling brings of them, and what a generation makes of it.

An input is the candidate line, or a dictionary in JSON as a browser sends it.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from icefloe.peer import InvalidCandidate
from icefloe.peer.connection.candidates import describe
from icefloe.peer.connection.remote_candidates import parse_remote
from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.configuration import IceConfiguration
from icefloe.peer.ice.generation import Generation, Listener
from tests.helpers.puppet import local_candidate

from ..target import Run, Target, event_loop
from ._json import TOKENS as JSON_TOKENS

ROUND = 64
"""Candidates that one generation takes: fewer than it would ignore the others for."""

LINES = (
    b"candidate:842163049 1 udp 1677729535 192.0.2.1 46154 typ srflx raddr 10.0.0.1 rport 46154 "
    b"generation 0 ufrag EEtu network-cost 50",
    b"candidate:1 1 UDP 2130706431 2001:db8::1 5 typ host",
    b"candidate:2 1 tcp 1518280447 192.0.2.3 9 typ host tcptype active generation 0",
    b"a=candidate:3 1 udp 41885439 198.51.100.7 50000 typ relay raddr 203.0.113.9 rport 46",
    b"candidate:4 2 udp 1 c5a9a1de-3b5c-4d2b-9f0e-1f2e3d4c5b6a.local 5 typ host",
)


DICTIONARIES = (
    b'{"candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host","sdpMid":"0","sdpMLineIndex":0}',
    b'{"candidate":"","sdpMid":null,"sdpMLineIndex":65535,"usernameFragment":"Xy3k"}',
    b'{"candidate":"candidate:1 1 udp 1 ff02::1 5 typ host","sdpMid":"0"}',
)


def nothing(*_: object, **__: object) -> None:
    """Take what a generation tells."""


def generation() -> Generation:
    """Make a generation with one socket, which looks up no names of the other side."""
    made = Generation(
        IceConfiguration(relay_only=True),
        (),
        Listener(
            candidate=nothing,
            error=nothing,
            complete=nothing,
            changed=nothing,
            packet=nothing,
            relay_lost=nothing,
            credentials=lambda server: (None, None),
        ),
        credentials=Credentials("here", "here-password"),
        role=Role(True, 1),
    )
    made.checks.add_local(local_candidate(), 0.0)
    return made


@contextmanager
def start() -> Iterator[Run]:
    """Set up a loop, and a generation for each 64 inputs."""
    with event_loop() as run_in_loop:

        async def made() -> Generation:
            return generation()

        count, taker = 0, run_in_loop(made())

        async def take(data: bytes) -> None:
            nonlocal count, taker
            count += 1
            if count % ROUND == 0:
                taker = generation()
            text = data.decode(errors="replace")
            given: object = {"candidate": text, "sdpMid": "0"}
            if text.startswith("{"):
                try:
                    given = json.loads(text)
                except (ValueError, RecursionError):
                    return  # the matter of signaling
            remote = parse_remote(given)  # type: ignore[arg-type]
            if remote.candidate is not None:
                describe(remote.candidate)
                assert isinstance(taker, Generation)
                taker.remote_candidates.add(remote.candidate)

        yield lambda data: run_in_loop(take(data))


TARGET = Target(
    name="candidate",
    seeds=lambda: (*LINES, *DICTIONARIES),
    tokens=(
        *JSON_TOKENS,
        b" ",
        b"typ",
        b"raddr",
        b"-1",
        b"4294967296",
        b"65536",
        b"0.0.0.0",
        b"255.255.255.255",
        b"169.254.169.254",
        b"127.1",
        b"::ffff:127.0.0.1",
        b"fe80::1%eth0",
        b"::",
        b".local",
        b"\xc2\xb2",
        b"\xd9\xa3",
        b"1_0",
    ),
    documented=(InvalidCandidate,),
    start=start,
)
