"""One outgoing RTP stream: numbers, headers, and what may have to be sent again. No I/O.

The payloads are not copied into anything that is kept: what goes to many peers is in memory once.
"""

import math
import random
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

HISTORY = 8192
"""Packets that can be sent again at most: 9.7 MB, a key frame of 4K with grain."""

HISTORY_LEAST = 1024
"""Of these none is forgotten for its age."""

REMEMBERED = 3.0
"""Seconds after which the others are."""

REPAIRED_AT_ONCE = 256
"""Packets sent again for one request at most."""

REPAIRED_EVERY = 0.01
"""Seconds before a packet is sent once more: whoever asks for it at each packet that comes has not
waited for the answer."""

REPAIRED_AT_MOST = 1.0
"""Seconds likewise, where the round trip is longer: who reports on it may say anything."""

RECENT = 2.0
"""Seconds of media that bound what is sent again at once. In the long run as many bytes are sent
again as were sent: a request of 20 bytes must not have thousands of packets sent without end."""

LEAST_BUDGET = 32 * 1024
"""Bytes that are sent again however little was sent."""

_NTP_EPOCH = 2_208_988_800
_HEADER = struct.Struct("!BBHII")
_EXTENSION_HEADER = 4
"""Bytes before the first of the header extensions (RFC 8285 section 4)."""


def ntp_time() -> int:
    """Return the time as NTP has it: 32 bits of seconds since 1900, and 32 of their fraction."""
    return int((time.time() + _NTP_EPOCH) * (1 << 32))


def stamped(packet: bytes, at: int, ntp: int) -> bytes:
    """Return a packet that tells another time of sending (abs-send-time).

    Args:
        packet: A packet of RTP.
        at: Where it tells the time, see :attr:`RtpStream.stamp_at`; 0 leaves it as it is.
        ntp: The time.
    """
    return packet[:at] + _send_time(ntp) + packet[at + 3 :] if at else packet


def _send_time(ntp: int) -> bytes:
    return (ntp >> 14 & 0xFFFFFF).to_bytes(3, "big")  # 6 bits of seconds, 18 of their fraction


@dataclass(slots=True)
class _Sent:
    number: int
    kind: int
    timestamp: int
    level: int | None
    payload: bytes
    ntp: int
    """When it was sent."""
    again_at: int | None = None
    """When it was last sent again."""


class _Budget:
    """How many bytes may be sent again: what was sent adds to it, and its memory fades."""

    def __init__(self) -> None:
        self._credit = float(LEAST_BUDGET)
        self._recent = 0.0
        self._at = 0

    def sent(self, size: int, ntp: int) -> None:
        self._fade(ntp)
        self._recent += size
        self._credit = min(self._credit + size, max(LEAST_BUDGET, self._recent))

    def takes(self, size: int, ntp: int) -> bool:
        """Whether so many bytes may be sent again, which are taken then."""
        self._fade(ntp)
        self._credit = min(self._credit, max(LEAST_BUDGET, self._recent))
        if size > self._credit:
            return False
        self._credit -= size
        return True

    def _fade(self, ntp: int) -> None:
        # A clock that is set back has nothing fade.
        passed, self._at = max(0, ntp - self._at), ntp
        if passed:
            self._recent *= math.exp(-passed / (RECENT * (1 << 32)))


class RtpStream:
    """A stream of packets, and the stream that repairs it (RFC 4588).

    Args:
        ssrc: Its synchronization source.
        rtx_ssrc: That of what is sent again.

    Attributes:
        mid: The identification of its media section, once it is known.
        packets: How many were sent.
        octets: The bytes of their payloads.
        packets_again: How many were sent again.
        octets_again: The bytes of their payloads.
        packets_refused: How often one that is remembered was not, because a request asked for too
            much, or all of them together did.
    """

    def __init__(self, ssrc: int, rtx_ssrc: int) -> None:
        self.mid = ""
        self.packets = self.octets = self.packets_again = self.octets_again = 0
        self.packets_refused = 0
        self._ssrc, self._rtx_ssrc = ssrc, rtx_ssrc
        # Below the middle, so that the first wrap of SRTP's counter is not among the first packets.
        self._number = random.getrandbits(15)
        self._rtx_number = random.getrandbits(15)
        self._history: dict[int, _Sent] = {}
        """By their numbers, the oldest first."""
        self._budget = _Budget()
        self._before = b""
        self._has_send_time = False
        self._level_id: int | None = None
        self._two_bytes = False

    def configure(self, extensions: Iterable[tuple[str, int]], mid: str) -> None:
        """Take note of the header extensions that were negotiated (RFC 8285).

        Args:
            extensions: Their URIs and ids.
            mid: The media section's (RFC 9143 section 15).
        """
        ids = dict(extensions)
        self.mid = mid
        self._two_bytes = any(id > 14 for id in ids.values()) or len(mid.encode()) > 16
        self._before = self._element(ids[MID], mid.encode()) if mid and MID in ids else b""
        self._has_send_time = ABS_SEND_TIME in ids
        if self._has_send_time:
            self._before += self._element(ids[ABS_SEND_TIME], bytes(3))[:-3]
        self._level_id = ids.get(AUDIO_LEVEL)

    @property
    def stamp_at(self) -> int:
        """Where packets tell the time of their sending: bytes from their beginning; 0 if not."""
        return _HEADER.size + _EXTENSION_HEADER + len(self._before) if self._has_send_time else 0

    def _element(self, id: int, value: bytes) -> bytes:
        if self._two_bytes:
            return bytes((id, len(value))) + value
        return bytes((id << 4 | len(value) - 1,)) + value

    def _extension(self, ntp: int, level: int | None) -> bytes:
        value = self._before
        if self._has_send_time:
            value += _send_time(ntp)
        if level is not None and self._level_id is not None:
            value += self._element(self._level_id, bytes((level,)))
        if not value:
            return b""
        words = -(-len(value) // 4)
        profile = b"\x10\x00" if self._two_bytes else b"\xbe\xde"
        return profile + words.to_bytes(2, "big") + value.ljust(words * 4, b"\0")

    def packets_of(
        self,
        payloads: Sequence[bytes],
        *,
        payload_type: int,
        timestamp: int,
        ntp: int,
        level: int | None = None,
    ) -> list[bytes]:
        """Return the packets of a frame, and remember them.

        Args:
            payloads: In order; the last one gets the marker.
            payload_type: Of 7 bits.
            timestamp: Of the frame.
            ntp: The time, see :func:`ntp_time`.
            level: The loudness below 0 dBov, in decibels (RFC 6464), of audio.
        """
        extension = self._extension(ntp, level)
        first = 0x90 if extension else 0x80
        packets = []
        number, last = self._number, len(payloads) - 1
        for index, payload in enumerate(payloads):
            kind = payload_type | 0x80 if index == last else payload_type
            self._history.pop(number, None)
            self._history[number] = _Sent(number, kind, timestamp, level, payload, ntp)
            header = _HEADER.pack(first, kind, number, timestamp, self._ssrc)
            packets.append(header + extension + payload)
            number = number + 1 & 0xFFFF
            self.octets += len(payload)
        self._number = number
        self._budget.sent(sum(map(len, payloads)), ntp)
        self.packets += len(payloads)
        self._forget(ntp)
        return packets

    def _forget(self, ntp: int) -> None:
        old = ntp - int(REMEMBERED * (1 << 32))
        while len(self._history) > HISTORY_LEAST:
            number = next(iter(self._history))
            if len(self._history) <= HISTORY and self._history[number].ntp > old:
                return
            del self._history[number]

    def again(
        self,
        numbers: Iterable[int],
        *,
        rtx_type: int | None,
        ntp: int,
        rtt: float | None = None,
    ) -> list[bytes]:
        """Return packets once more, those that are remembered and that the budget allows.

        Args:
            numbers: The sequence numbers that the other side lacks.
            rtx_type: The payload type of what is sent again, if there is one.
            ntp: The time.
            rtt: The round trip in seconds, if it is known: none is sent twice within it.
        """
        pause = int(min(max(rtt or 0.0, REPAIRED_EVERY), REPAIRED_AT_MOST) * (1 << 32))
        packets: list[bytes] = []
        is_enough = False
        for number in numbers:
            sent = self._history.get(number)
            if sent is None:
                continue
            if sent.again_at is not None and 0 <= ntp - sent.again_at < pause:
                continue
            is_enough = (
                is_enough
                or len(packets) == REPAIRED_AT_ONCE
                or not self._budget.takes(len(sent.payload), ntp)
            )
            if is_enough:
                self.packets_refused += 1
                continue
            extension = self._extension(ntp, sent.level)
            first = 0x90 if extension else 0x80
            if rtx_type is None:
                header = _HEADER.pack(first, sent.kind, number, sent.timestamp, self._ssrc)
                payload = sent.payload
            else:
                kind, again = rtx_type | sent.kind & 0x80, self._rtx_number
                header = _HEADER.pack(first, kind, again, sent.timestamp, self._rtx_ssrc)
                payload = number.to_bytes(2, "big") + sent.payload
                self._rtx_number = again + 1 & 0xFFFF
            packets.append(header + extension + payload)
            sent.again_at = ntp
            self.packets_again += 1
            self.octets_again += len(payload)
        return packets
