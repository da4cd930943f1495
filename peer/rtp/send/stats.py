"""Statistics of what is sent, under the names of W3C webrtc-stats."""

from dataclasses import dataclass

import aiortc.stats

from .pipeline import Outgoing


@dataclass
class RTCOutboundRtpStreamStats(aiortc.stats.RTCOutboundRtpStreamStats):
    """aiortc's, and more of ``RTCOutboundRtpStreamStats`` (W3C webrtc-stats 8.4)."""

    mid: str | None = None
    active: bool = True
    framesSent: int | None = None
    framesEncoded: int | None = None
    """Those that were encoded for this peer alone; what came encoded is not counted."""
    keyFramesEncoded: int | None = None
    """Key frames that were sent, wherever they were encoded."""
    frameWidth: int | None = None
    frameHeight: int | None = None
    targetBitrate: int | None = None
    """Bits a second; absent while nothing but the size of the picture bounds it."""
    encoderImplementation: str | None = None
    """FFmpeg's name, such as ``libx264`` or ``h264_nvenc``; absent for what came encoded."""
    powerEfficientEncoder: bool | None = None
    retransmittedPacketsSent: int = 0
    retransmittedBytesSent: int = 0
    retransmissionsRefused: int = 0
    """Packets that the other side asked for again and that were not sent again, because it asked
    for more than a request, or all of them together, may; not in W3C's."""
    totalPacketSendDelay: float | None = None
    """Seconds that packets have waited here before they were sent, of all together."""
    framesRefused: int = 0
    """Frames and packets of the track that could not be sent, see the event ``senderror``; not in
    W3C's."""
    nackCount: int | None = None
    pliCount: int | None = None
    firCount: int | None = None


def outbound(
    stats: aiortc.stats.RTCOutboundRtpStreamStats, outgoing: Outgoing
) -> RTCOutboundRtpStreamStats:
    """Add what is known of a stream to what aiortc counts."""
    names = aiortc.stats.RTCOutboundRtpStreamStats.__dataclass_fields__
    more = RTCOutboundRtpStreamStats(**{name: getattr(stats, name) for name in names})
    stream = outgoing.stream
    more.mid = stream.mid or None
    more.active = outgoing.encoding.active
    more.targetBitrate = outgoing.target_bitrate()
    more.retransmittedPacketsSent = stream.packets_again
    more.retransmittedBytesSent = stream.octets_again
    more.retransmissionsRefused = stream.packets_refused
    more.encoderImplementation = outgoing.implementation or None
    more.framesRefused = outgoing.refused.count
    if stats.kind == "video":
        more.framesSent = outgoing.frames
        more.framesEncoded = outgoing.frames_encoded
        more.keyFramesEncoded = outgoing.key_frames
        more.frameWidth, more.frameHeight = outgoing.width or None, outgoing.height or None
        more.totalPacketSendDelay = outgoing.send_delay
        more.nackCount = outgoing.nacks
        more.pliCount, more.firCount = outgoing.requests["pli"], outgoing.requests["fir"]
        if outgoing.implementation:
            more.powerEfficientEncoder = outgoing.implementation not in ("libx264", "libvpx")
    return more
