"""Attacks of a peer with datagrams, ICE, DTLS and descriptions."""

import os
import random
import re
import socket

from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.binding import Credentials, Role
from tests.bench.hostility.link import describe
from tests.bench.hostility.means import Means, attack

_CANDIDATE = "candidate:{n} 1 udp {priority} {host} {port} typ host"
_SEGMENT = 103  # UDP_SEGMENT


async def _tell(means: Means, host: str) -> None:
    """Trickle candidates at addresses that a template makes of a number."""
    number = 0
    while await means.goes_on():
        for _ in range(50):
            number += 1
            line = _CANDIDATE.format(
                n=number, priority=number, host=host.format(n=number, b=number % 250), port=4000
            )
            means.peer.lines.say({"candidate": {"candidate": line, "sdpMid": "0"}})
            means.sent += 1
        await means.told()


@attack
async def candidates_without_end(means: Means) -> None:
    """Trickles candidates at other addresses each time."""
    await _tell(means, "127.{b}.{b}.1")


@attack
async def names_without_end(means: Means) -> None:
    """Trickles candidates that hide behind names, each of which is to be looked up."""
    await _tell(means, "{n:08x}-0000-4000-8000-000000000000.local")


@attack
async def restarts_without_end(means: Means) -> None:
    """Offers with new credentials, as fast as they are answered."""
    while await means.goes_on():
        if means.connection.signalingState != "stable":
            continue
        means.connection.restartIce()
        await means.connection.setLocalDescription()
        means.peer.lines.say(describe(means.connection.localDescription))
        means.sent += 1


@attack
async def offers_that_are_not_waited_for(means: Means) -> None:
    """Offers with new credentials each, without a look at the answers."""
    await means.connection.setLocalDescription(await means.connection.createOffer())
    description = describe(means.connection.localDescription)
    text = description["description"]["sdp"]
    while await means.goes_on():
        fragment = f"{random.getrandbits(64):016x}"
        description["description"]["sdp"] = re.sub(
            r"a=ice-ufrag:.*", f"a=ice-ufrag:{fragment}", text
        )
        means.peer.lines.say(description)
        means.sent += 1
        await means.told()


@attack
async def sections_without_end(means: Means) -> None:
    """Offers with more sections of media each time."""
    while await means.goes_on():
        if means.connection.signalingState != "stable":
            continue
        if len(means.connection.getTransceivers()) < 200:
            for _ in range(20):
                means.connection.addTransceiver("video", direction="sendonly")
        await means.connection.setLocalDescription()
        means.peer.lines.say(describe(means.connection.localDescription))
        means.sent += 1


@attack
async def descriptions_of_nonsense(means: Means) -> None:
    """Descriptions of a megabyte: lines without end, in one section and in thousands."""
    await means.connection.setLocalDescription(await means.connection.createOffer())
    text = means.connection.localDescription.sdp
    section = text[text.index("m=") :]
    several = (
        text + "a=x:y\r\n" * 100_000,
        text + "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n" * 15_000,
        text + section * 300,
        text + "a=ssrc:{0} cname:x\r\n".replace("{0}", "1") * 30_000,
        text.replace("a=fingerprint:", "a=fingerprint:sha-256 00:11\r\na=fingerprint:" * 1000),
        "v=0\r\n" * 200_000,
    )
    while await means.goes_on():
        for sdp in several:
            means.peer.lines.say({"description": {"type": "offer", "sdp": sdp}})
            means.sent += 1
            await means.told()


@attack
async def checks_of_strangers(means: Means) -> None:
    """Checks with a wrong password, from many ports."""
    known = means.credentials
    guess = Credentials(
        known.local_username, known.local_password, known.remote_username, "a guess"
    )
    await _check(means, guess)


@attack
async def checks_from_everywhere(means: Means) -> None:
    """Checks that are authentic, from many ports, as of a NAT that maps each packet anew."""
    await _check(means, means.credentials)


def _socket(means: Means) -> socket.socket:
    """Return a socket of another port, whose datagrams go to the victim."""
    target = means.address
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.connect(target)
    return opened


async def _check(means: Means, credentials: Credentials) -> None:
    role = Role(True, 99)
    sockets = [_socket(means) for _ in range(200)]
    _, data = binding.request(credentials, role, local_preference=65535, use_candidate=True)
    try:
        while await means.goes_on():
            for each in random.sample(sockets, 20):
                try:
                    each.send(data)
                except BlockingIOError:
                    continue
                means.sent += 1
    finally:
        for each in sockets:
            each.close()


@attack
async def records_that_are_none(means: Means) -> None:
    """DTLS records of handshakes, alerts and data that are not authentic."""
    while await means.goes_on():
        records = []
        for kind in (20, 21, 22, 23, 24):
            body = os.urandom(random.randrange(1, 1000))
            head = bytes([kind, 0xFE, 0xFD, 0, random.randrange(2)]) + os.urandom(6)
            records.append(head + len(body).to_bytes(2, "big") + body)
        means.datagrams(*records)


@attack
async def datagrams_that_are_none(means: Means) -> None:
    """Datagrams of every first byte, SRTP that is not authentic among them."""
    while await means.goes_on():
        means.datagrams(*(bytes([n % 256]) + os.urandom(60) for n in range(64)))


@attack
async def trains_of_tiny_datagrams(means: Means) -> None:
    """Datagrams of 20 bytes, which the kernel hands over by the thousand."""
    with _socket(means) as train:
        _, check = binding.request(means.credentials, Role(True, 99), local_preference=65535)
        while await means.goes_on():
            for piece in (b"\x16" * 20, b"\x80" * 20, check):
                size = len(piece).to_bytes(2, "little")
                count = min(60, 60_000 // len(piece))
                try:
                    train.sendmsg([piece * count], [(17, _SEGMENT, size)])
                except BlockingIOError:
                    continue
                means.sent += count
