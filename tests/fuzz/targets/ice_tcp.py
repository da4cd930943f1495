"""Bytes on an accepted TCP connection of ICE, from anybody, and from the remote peer."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from aioice import stun

from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.configuration import IceConfiguration
from icefloe.peer.ice.tcp.framing import frame
from icefloe.peer.ice.tcp.mux import TcpMux
from icefloe.peer.ice.tcp.sockets import TcpSockets

from ..target import Run, Target, event_loop

HOST = "127.0.0.1"
HERE = Credentials("here", "here-password-0123456789")
THERE = Credentials("there", "there-password-012345678", "here", "here-password-0123456789")


class Wire:
    """Stands for asyncio's transport."""

    def __init__(self) -> None:
        self._is_closing = False

    def get_extra_info(self, name: str) -> object:
        """Have addresses and no socket."""
        return {"peername": ("192.0.2.66", 5000), "sockname": (HOST, 443)}.get(name)

    def set_write_buffer_limits(self, high: int) -> None:
        """Take any limit."""

    def get_write_buffer_size(self) -> int:
        """Hold nothing."""
        return 0

    def write(self, data: bytes) -> None:
        """Take everything."""

    def is_closing(self) -> bool:
        """Tell whether it is closed."""
        return self._is_closing

    def abort(self) -> None:
        """Close."""
        self._is_closing = True

    def pause_reading(self) -> None:
        """Read nothing."""

    def resume_reading(self) -> None:
        """Read on."""


class Receiver:
    """Takes whatever comes."""

    def stun_received(self, message: stun.Message, source: object, base: object) -> None:
        """Take a STUN message."""

    def packet_received(self, data: bytes, source: object, base: object) -> None:
        """Take a datagram."""

    def socket_lost(self, base: object) -> None:
        """Take the end of a socket."""

    def remote_lost(self, base: object, address: object) -> None:
        """Take the end of a connection."""


def check() -> bytes:
    """Write a check of the remote peer."""
    return frame(binding.request(THERE, Role(True, 1), local_preference=1, tcptype="active")[1])


@contextmanager
def start() -> Iterator[Run]:
    """Set up a port with one generation behind it; each input has a connection of its own.

    With an odd first byte the connection is the remote peer's: an authentic check goes before.
    """
    with event_loop() as run_in_loop, socket.socket() as sock:
        sock.bind((HOST, 0))

        async def made() -> TcpMux:
            mux = TcpMux([sock])
            configuration = IceConfiguration(tcp_mux=mux)
            sockets = TcpSockets(cast(Any, Receiver()), HERE, configuration)
            assert sockets.open_passive(HOST) is not None
            return mux

        mux = cast(TcpMux, run_in_loop(made()))

        async def take(data: bytes) -> None:
            connection = mux._accept()
            connection.connection_made(cast(asyncio.Transport, Wire()))
            if data[:1] and data[0] & 1:
                connection.data_received(check())
            half = len(data) // 2
            connection.data_received(data[1:half])
            connection.data_received(data[half:])
            connection.connection_lost(None)

        yield lambda data: run_in_loop(take(data))


def seeds() -> list[bytes]:
    """Write frames."""
    return [
        b"\0" + check(),
        b"\1" + check() + frame(b"data"),
        b"\1" + frame(b"") * 300 + frame(bytes(3000)),
        b"\1" + b"\xff\xff" + bytes(100),
        b"\0" + b"GET / HTTP/1.1\r\n",
        b"\0" + frame(bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))),
    ]


TARGET = Target(
    name="ice-tcp",
    seeds=seeds,
    tokens=(b"\x00\x00", b"\xff\xff", b"\x00\x01\x00", b"\x21\x12\xa4\x42", b"\x00\x06\x00\x0a"),
    documented=(),
    start=start,
)
