"""Values written into an RTP packet as it leaves: abs-send-time and transport-wide number."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SendStamp:
    """Offsets of the header extensions that are written when a packet leaves the pacer.

    Attributes:
        send_time: Offset of the abs-send-time in bytes; 0 if it was not negotiated.
        number: Offset of the transport-wide sequence number in bytes; 0 if it was not negotiated.
    """

    send_time: int = 0
    number: int = 0

    def written(self, packet: bytes, *, ntp: int, number: int) -> bytes:
        """Return a packet with both values written.

        Args:
            packet: An RTP packet with room for the values at the offsets.
            ntp: The current time as a 64-bit NTP timestamp; see :func:`.rtp_stream.ntp_time`.
            number: The transport-wide sequence number; its lower 16 bits are written.
        """
        if not self.send_time and not self.number:
            return packet
        stamped = bytearray(packet)
        if self.send_time:
            stamped[self.send_time : self.send_time + 3] = abs_send_time(ntp)
        if self.number:
            stamped[self.number : self.number + 2] = (number & 0xFFFF).to_bytes(2, "big")
        return bytes(stamped)


NO_STAMP = SendStamp()
"""Stamp of packets without either extension."""


def abs_send_time(ntp: int) -> bytes:
    """Return the 24-bit abs-send-time of an NTP timestamp: 6 bits of seconds, 18 of fraction."""
    return (ntp >> 14 & 0xFFFFFF).to_bytes(3, "big")
