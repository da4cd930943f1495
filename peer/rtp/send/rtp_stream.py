"""Outgoing RTP stream: headers, header extensions, and retransmission (RTX). Does no I/O.

Payloads are stored by reference: media sent to many peers is in memory once.
"""

import math
import random
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..congestion.header_extension import URI as TRANSPORT_NUMBER
from .send_stamp import SendStamp

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

HISTORY = 8192
"""Maximum packets kept for retransmission: 9.7 MB, a 4K key frame with film grain."""

MIN_HISTORY = 1024
"""Packets kept regardless of their age."""

HISTORY_SECONDS = 3.0
"""Seconds for which packets beyond :data:`MIN_HISTORY` are kept."""

MAX_RETRANSMISSIONS = 256
"""Maximum packets retransmitted for one NACK."""

MAX_PADDING = 64
"""Maximum packets of padding made at once."""

MIN_RETRANSMISSION_INTERVAL = 0.01
"""Minimum seconds between two retransmissions of the same packet. A receiver that requests it with
each arriving packet has not waited for the answer."""

MAX_RETRANSMISSION_INTERVAL = 1.0
"""Upper bound of that interval in seconds, where the round trip is longer: the reported round-trip
time is not trusted."""

BUDGET_SECONDS = 2.0
"""Seconds of media that bound a burst of retransmissions. In the long run at most as many bytes are
retransmitted as were sent: NACKs of 20 bytes must not trigger thousands of packets without end."""

MIN_BUDGET = 32 * 1024
"""Bytes that may be retransmitted however little was sent."""

_NTP_EPOCH = 2_208_988_800
_HEADER = struct.Struct("!BBHII")
_EXTENSION_HEADER = 4
"""Bytes before the first header extension element (RFC 8285 section 4)."""


def ntp_time() -> int:
    """Return the current time as a 64-bit NTP timestamp.

    The upper 32 bits are seconds since 1900, the lower 32 their fraction.
    """
    return int((time.time() + _NTP_EPOCH) * (1 << 32))


@dataclass(slots=True)
class _Sent:
    number: int
    kind: int
    timestamp: int
    level: int | None
    payload: bytes
    ntp: int
    """NTP time of the first transmission."""
    retransmitted_at: int | None = None
    """NTP time of the latest retransmission."""


class _RetransmissionBudget:
    """Bytes that may be retransmitted: sent bytes add to it, and decay exponentially."""

    def __init__(self) -> None:
        self._credit = float(MIN_BUDGET)
        self._recent = 0.0
        self._at = 0

    def sent(self, size: int, ntp: int) -> None:
        self._fade(ntp)
        self._recent += size
        self._credit = min(self._credit + size, max(MIN_BUDGET, self._recent))

    def takes(self, size: int, ntp: int) -> bool:
        """Return whether ``size`` bytes may be retransmitted, and subtract them if so."""
        self._fade(ntp)
        self._credit = min(self._credit, max(MIN_BUDGET, self._recent))
        if size > self._credit:
            return False
        self._credit -= size
        return True

    def _fade(self, ntp: int) -> None:
        # A clock that is set back causes no decay.
        passed, self._at = max(0, ntp - self._at), ntp
        if passed:
            self._recent *= math.exp(-passed / (BUDGET_SECONDS * (1 << 32)))


class RtpStream:
    """An RTP stream and its retransmission stream (RFC 4588).

    Args:
        ssrc: SSRC of the media.
        rtx_ssrc: SSRC of the retransmissions.

    Attributes:
        mid: MID of the media section; empty before negotiation.
        packets: Packets sent.
        octets: Payload bytes sent.
        retransmitted_packets: Packets retransmitted.
        retransmitted_octets: Payload bytes retransmitted.
        stamp: Offsets of the header extensions that are written when a packet leaves.
        padding_packets: Packets sent again unasked, as padding of a bandwidth probe.
        padding_octets: Payload bytes of these.
        refused_retransmissions: Requested packets that were available but not retransmitted,
            because the request or all requests together exceeded a limit.
    """

    def __init__(self, ssrc: int, rtx_ssrc: int) -> None:
        self.mid: str = ""
        self.packets: int = 0
        self.octets: int = 0
        self.retransmitted_packets: int = 0
        self.retransmitted_octets: int = 0
        self.refused_retransmissions: int = 0
        self.padding_packets: int = 0
        self.padding_octets: int = 0
        self._ssrc, self._rtx_ssrc = ssrc, rtx_ssrc
        # Start in the lower half, so that SRTP's rollover counter does not change within the first
        # packets.
        self._number = random.getrandbits(15)
        self._rtx_number = random.getrandbits(15)
        self._history: dict[int, _Sent] = {}
        """Packets by sequence number, the oldest first."""
        self._budget = _RetransmissionBudget()
        self.stamp = SendStamp()
        self._prefix = b""
        self._level_id: int | None = None
        self._two_byte_headers = False

    def configure(self, extensions: Iterable[tuple[str, int]], mid: str) -> None:
        """Set the negotiated header extensions (RFC 8285).

        Args:
            extensions: Pairs of URI and id.
            mid: MID of the media section (RFC 9143 section 15).
        """
        ids = dict(extensions)
        self.mid = mid
        self._two_byte_headers = any(id > 14 for id in ids.values()) or len(mid.encode()) > 16
        self._prefix = self._element(ids[MID], mid.encode()) if mid and MID in ids else b""
        offsets = dict.fromkeys((ABS_SEND_TIME, TRANSPORT_NUMBER), 0)
        for uri, size in ((ABS_SEND_TIME, 3), (TRANSPORT_NUMBER, 2)):
            if uri in ids:
                self._prefix += self._element(ids[uri], bytes(size))
                offsets[uri] = _HEADER.size + _EXTENSION_HEADER + len(self._prefix) - size
        self.stamp = SendStamp(offsets[ABS_SEND_TIME], offsets[TRANSPORT_NUMBER])
        self._level_id = ids.get(AUDIO_LEVEL)

    @property
    def ssrc(self) -> int:
        """SSRC of the media."""
        return self._ssrc

    @property
    def rtx_ssrc(self) -> int:
        """SSRC of the retransmissions."""
        return self._rtx_ssrc

    @property
    def last_number(self) -> int:
        """Sequence number of the latest packet."""
        return self._number - 1 & 0xFFFF

    @property
    def kept_packets(self) -> int:
        """Number of packets that can be sent again."""
        return len(self._history)

    def _element(self, id: int, value: bytes) -> bytes:
        if self._two_byte_headers:
            return bytes((id, len(value))) + value
        return bytes((id << 4 | len(value) - 1,)) + value

    def _extension(self, level: int | None) -> bytes:
        value = self._prefix
        if level is not None and self._level_id is not None:
            value += self._element(self._level_id, bytes((level,)))
        if not value:
            return b""
        words = -(-len(value) // 4)
        profile = b"\x10\x00" if self._two_byte_headers else b"\xbe\xde"
        return profile + words.to_bytes(2, "big") + value.ljust(words * 4, b"\0")

    def packetize(
        self,
        payloads: Sequence[bytes],
        *,
        payload_type: int,
        timestamp: int,
        ntp: int,
        level: int | None = None,
    ) -> list[bytes]:
        """Return the packets of a frame, and store them for retransmission.

        Args:
            payloads: Payloads, in order; the last one gets the marker bit.
            payload_type: 7-bit payload type.
            timestamp: 32-bit RTP timestamp of the frame.
            ntp: The current time, see :func:`ntp_time`.
            level: For audio, the level in -dBov (RFC 6464).
        """
        extension = self._extension(level)
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
        old = ntp - int(HISTORY_SECONDS * (1 << 32))
        while len(self._history) > MIN_HISTORY:
            number = next(iter(self._history))
            if len(self._history) <= HISTORY and self._history[number].ntp > old:
                return
            del self._history[number]

    def retransmit(
        self,
        numbers: Iterable[int],
        *,
        rtx_type: int | None,
        ntp: int,
        rtt: float | None = None,
    ) -> list[bytes]:
        """Return retransmissions of packets, as far as they are stored and the limits allow.

        Args:
            numbers: Sequence numbers that the receiver lacks.
            rtx_type: Payload type of RTX, or ``None`` to resend the packets unchanged.
            ntp: The current time, see :func:`ntp_time`.
            rtt: Round-trip time in seconds, if known: no packet is retransmitted twice within it.
        """
        pause = int(
            min(max(rtt or 0.0, MIN_RETRANSMISSION_INTERVAL), MAX_RETRANSMISSION_INTERVAL)
            * (1 << 32)
        )
        packets: list[bytes] = []
        limit_reached = False
        for number in numbers:
            sent = self._history.get(number)
            if sent is None:
                continue
            if sent.retransmitted_at is not None and 0 <= ntp - sent.retransmitted_at < pause:
                continue
            limit_reached = (
                limit_reached
                or len(packets) == MAX_RETRANSMISSIONS
                or not self._budget.takes(len(sent.payload), ntp)
            )
            if limit_reached:
                self.refused_retransmissions += 1
                continue
            packets.append(self._retransmission(number, sent, rtx_type))
            sent.retransmitted_at = ntp
            self.retransmitted_packets += 1
            self.retransmitted_octets += len(sent.payload) + (0 if rtx_type is None else 2)
        return packets

    def padding(self, size: int, *, rtx_type: int | None) -> list[bytes]:
        """Return the latest packets once more, as padding for a bandwidth probe.

        Padding of real media may repair a loss; libwebrtc probes with it too. It needs RTX: under
        their own numbers the packets would be duplicates, which do not count (RFC 3550 6.4.1).

        Args:
            size: Bytes wanted.
            rtx_type: Payload type of RTX; with ``None`` there is no padding.
        """
        packets: list[bytes] = []
        if rtx_type is None:
            return packets
        for number in reversed(self._history):
            if size <= 0 or len(packets) == MAX_PADDING:
                break
            sent = self._history[number]
            packets.append(self._retransmission(number, sent, rtx_type))
            size -= len(packets[-1])
            self.padding_packets += 1
            self.padding_octets += len(sent.payload) + 2
        return packets

    def _retransmission(self, number: int, sent: _Sent, rtx_type: int | None) -> bytes:
        extension = self._extension(sent.level)
        first = 0x90 if extension else 0x80
        if rtx_type is None:
            header = _HEADER.pack(first, sent.kind, number, sent.timestamp, self._ssrc)
            return header + extension + sent.payload
        kind, again = rtx_type | sent.kind & 0x80, self._rtx_number
        self._rtx_number = again + 1 & 0xFFFF
        header = _HEADER.pack(first, kind, again, sent.timestamp, self._rtx_ssrc)
        return header + extension + number.to_bytes(2, "big") + sent.payload
