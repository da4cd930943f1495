"""One TCP flow between two processes, as fast as the kernel's congestion control lets it.

The receiver runs until its standard input ends, and then prints one line of JSON with samples of
the monotonic time and the bytes until then::

    python -m tests.bench.tcp_flow receive 5001
    python -m tests.bench.tcp_flow send 198.18.7.2 5001 --seconds 10 --congestion-control cubic
"""

import argparse
import json
import select
import socket
import sys
import time
from typing import TextIO

_BLOCK = 256 * 1024
_SAMPLE_EVERY = 0.1


def send(address: tuple[str, int], seconds: float, congestion_control: str) -> None:
    """Send for so many seconds."""
    with socket.create_connection(address) as sock:
        name = congestion_control.encode()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
        until = time.monotonic() + seconds
        sock.settimeout(seconds)
        block = bytes(_BLOCK)
        try:
            while time.monotonic() < until:
                sock.send(block)
        except TimeoutError:
            return  # starved


def receive(port: int) -> None:
    """Take a connection and what it brings until standard input ends, and print the samples."""
    samples: list[tuple[float, int]] = []
    size = 0
    with socket.create_server(("", port)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
        with connection:
            samples.append((time.monotonic(), 0))
            sources: list[socket.socket | TextIO] = [connection, sys.stdin]
            while True:
                ready, _, _ = select.select(sources, [], [])
                if sys.stdin in ready:
                    break
                got = len(connection.recv(_BLOCK))
                if not got:
                    sources.remove(connection)
                size += got
                if time.monotonic() - samples[-1][0] >= _SAMPLE_EVERY:
                    samples.append((time.monotonic(), size))
    print(json.dumps([*samples, (time.monotonic(), size)]))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    receiving = roles.add_parser("receive")
    receiving.add_argument("port", type=int)
    sending = roles.add_parser("send")
    sending.add_argument("address")
    sending.add_argument("port", type=int)
    sending.add_argument("--seconds", type=float, default=10.0)
    sending.add_argument("--congestion-control", default="reno")
    given = parser.parse_args()
    if given.role == "receive":
        receive(given.port)
    else:
        send((given.address, given.port), given.seconds, given.congestion_control)


if __name__ == "__main__":
    main()
