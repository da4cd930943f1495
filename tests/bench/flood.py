"""Numbered UDP packets at a steady rate from one process to another; they measure a link.

Each carries its number and the time at which it left by the machine's monotonic clock, which is the
same in every namespace. The sender prints the seconds that it took. The receiver runs until its
standard input ends, and then prints one line of JSON::

    python -m tests.bench.flood receive 5000
    python -m tests.bench.flood send 198.18.7.2 5000 --packets 100000 --rate 100000 --size 1200
"""

import argparse
import json
import select
import socket
import struct
import sys
import time

_HEADER = struct.Struct("!Qd")
_UDP_SEGMENT = 103
_AT_ONCE = 40
"""Packets handed to the kernel in one call where the rate is high."""

_PATIENT = 20_000
"""Packets a second up to which each is sent by itself."""

_BUFFER = 64 * 1024 * 1024
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32


def send(address: tuple[str, int], packets: int, rate: float, size: int) -> float:
    """Send packets; return how many seconds it took.

    Args:
        address: To whom.
        packets: How many.
        rate: How many a second; 0 is as fast as it goes.
        size: Bytes of the payload of each.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        at_once = 1 if 0 < rate <= _PATIENT else _AT_ONCE
        if at_once > 1:
            sock.setsockopt(socket.SOL_UDP, _UDP_SEGMENT, size)
        padding = bytes(size - _HEADER.size)
        begun = time.monotonic()
        for first in range(0, packets, at_once):
            if rate and (early := begun + first / rate - time.monotonic()) > 0:
                time.sleep(early)
            now = time.monotonic()
            numbers = range(first, min(first + at_once, packets))
            sock.sendto(b"".join(_HEADER.pack(n, now) + padding for n in numbers), address)
        return time.monotonic() - begun


def receive(port: int) -> None:
    """Take packets until standard input ends, and print what came: ``[number, sent, arrived]``."""
    came: list[tuple[int, float, float]] = []
    buffer = bytearray(2048)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        sock.bind(("", port))
        sock.setblocking(False)
        print("ready", flush=True)
        ended = False
        while not ended:
            ready, _, _ = select.select([sock, sys.stdin], [], [])
            ended = sys.stdin in ready
            try:
                while True:
                    sock.recv_into(buffer)
                    number, sent = _HEADER.unpack_from(buffer)
                    came.append((number, sent, time.monotonic()))
            except BlockingIOError:
                continue
    print(json.dumps(came))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    receiving = roles.add_parser("receive")
    receiving.add_argument("port", type=int)
    sending = roles.add_parser("send")
    sending.add_argument("address")
    sending.add_argument("port", type=int)
    sending.add_argument("--packets", type=int, default=1000)
    sending.add_argument("--rate", type=float, default=1000.0)
    sending.add_argument("--size", type=int, default=1200)
    given = parser.parse_args()
    if given.role == "receive":
        receive(given.port)
    else:
        print(send((given.address, given.port), given.packets, given.rate, given.size))


if __name__ == "__main__":
    main()
