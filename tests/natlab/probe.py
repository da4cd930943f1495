"""Probe of a NAT's behaviour from outside: RFC 4787's terms, by RFC 5780's means.

The server answers at two addresses with two ports each; the client, behind the NAT, asks to be
answered from one or another::

    python -m tests.natlab.probe serve 203.0.113.10 203.0.113.11
    python -m tests.natlab.probe ask 203.0.113.10 203.0.113.11
"""

import argparse
import json
import select
import socket
import sys
from dataclasses import asdict, dataclass

PORTS = (7001, 7002)
PATIENCE = 0.3
"""Seconds without an answer that mean there is none; the lab answers within a few milliseconds."""

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The findings; ``None`` where nothing came back.

    Attributes:
        mapping: ``endpoint-independent``, ``address-dependent`` or ``address-and-port-dependent``.
        filtering: The same words.
        keeps_port: Whether the port outside is that inside.
        hairpins: Whether a packet to the own mapped address comes back in.
        address: The address outside.
    """

    mapping: str | None
    filtering: str | None
    keeps_port: bool
    hairpins: bool
    address: str | None


def serve(addresses: tuple[str, str]) -> None:
    """Answer until standard input ends."""
    sockets = {(a, p): _socket((a, p)) for a in addresses for p in PORTS}
    print("ready", flush=True)  # noqa: T201
    while True:
        readable, _, _ = select.select([*sockets.values(), sys.stdin], [], [])
        if sys.stdin in readable:
            return
        for receiver in (sock for sock in sockets.values() if sock in readable):
            data, source = receiver.recvfrom(2000)
            address, port = receiver.getsockname()
            other_address = next(a for a in addresses if a != address)
            other_port = next(p for p in PORTS if p != port)
            question, tag = data.decode().split()
            sender = {
                "same": receiver,
                "port": sockets[(address, other_port)],
                "address": sockets[(other_address, other_port)],
            }[question]
            sender.sendto(f"{tag} {source[0]} {source[1]}".encode(), source)


def _socket(address: Endpoint) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(address)
    return sock


def _ask(sock: socket.socket, question: str, server: Endpoint) -> Endpoint | None:
    """Ask a server to answer from where the question says; return how it sees the socket."""
    tag = f"{question}/{server[0]}/{server[1]}"
    sock.settimeout(PATIENCE)
    sock.sendto(f"{question} {tag}".encode(), server)
    try:
        while True:
            answered, host, port = sock.recv(2000).decode().split()
            if answered == tag:
                return host, int(port)
    except TimeoutError:
        return None


def ask(addresses: tuple[str, str]) -> Behaviour:
    """Find out what is between this host and the server."""
    first = (addresses[0], PORTS[0])
    with _socket(("", 0)) as fresh:  # it has spoken to nobody else, so strangers are strangers
        _ask(fresh, "same", first)
        filtering = None
        if _ask(fresh, "same", first):
            filtering = "address-and-port-dependent"
            if _ask(fresh, "address", first):
                filtering = "endpoint-independent"
            elif _ask(fresh, "port", first):
                filtering = "address-dependent"
    with _socket(("", 0)) as sock, _socket(("", 0)) as neighbour:
        seen = [
            _ask(sock, "same", server)
            for server in (first, (addresses[0], PORTS[1]), (addresses[1], PORTS[0]))
        ]
        mapped = seen[0]
        if mapped is None:
            return Behaviour(None, filtering, False, False, None)
        return Behaviour(
            mapping=_mapping(seen),
            filtering=filtering,
            keeps_port=mapped[1] == sock.getsockname()[1],
            hairpins=_hairpins(sock, neighbour, mapped, first),
            address=mapped[0],
        )


def _mapping(seen: list[Endpoint | None]) -> str | None:
    if None in seen:
        return None
    if seen[0] == seen[1] == seen[2]:
        return "endpoint-independent"
    return "address-dependent" if seen[0] == seen[1] else "address-and-port-dependent"


def _hairpins(
    sock: socket.socket, neighbour: socket.socket, mapped: Endpoint, server: Endpoint
) -> bool:
    theirs = _ask(neighbour, "same", server)
    # With address-dependent filtering the neighbour's address has to be known as well.
    sock.sendto(b"opening", theirs or server)
    neighbour.sendto(b"hairpin", mapped)
    sock.settimeout(PATIENCE)
    try:
        while sock.recv(2000) != b"hairpin":
            pass
    except TimeoutError:
        return False
    return True


def main() -> None:
    """Serve or ask, as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("role", choices=("serve", "ask"))
    parser.add_argument("addresses", nargs=2)
    given = parser.parse_args()
    addresses = (given.addresses[0], given.addresses[1])
    if given.role == "serve":
        serve(addresses)
    else:
        print(json.dumps(asdict(ask(addresses))))  # noqa: T201


if __name__ == "__main__":
    main()
