"""Senders and receivers of a peer connection as they are while it is connected, for the targets of
RTP and RTCP. What they send goes nowhere: their DTLS transport has not begun.
"""

from dataclasses import dataclass

from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpDecodingParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiveParameters,
    RTCRtpRtxParameters,
    RTCRtpSendParameters,
)

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import DtlsTransport, Receiver, Sender
from icefloe.peer.rtp.receive.decoder_pool import DecoderPool
from icefloe.peer.rtp.receive.packet_validation import _READERS

VIDEO_SSRC, VIDEO_RTX_SSRC, AUDIO_SSRC = 0x11111111, 0x22222222, 0x33333333
OWN_SSRC, OWN_RTX_SSRC = 0x44444444, 0x55555555
VP8, VP8_RTX, H264, H264_RTX, OPUS, PCMU = 96, 97, 98, 99, 111, 0
EXTENSIONS = {uri: id for id, uri in enumerate(_READERS, 1)}
LARGEST = 1500
"""Bytes of a packet at most: those of the buffer of SRTP."""

_HIDDEN = "active_ssrc", "lsr", "lsr_time", "remote_streams", "rtx_ssrc"


def _codec(kind: str, name: str, payload_type: int, **parameters: int) -> RTCRtpCodecParameters:
    rate = {"PCMU": 8000, "opus": 48000}.get(name, 90000)
    return RTCRtpCodecParameters(
        mimeType=f"{kind}/{name}",
        clockRate=rate,
        channels=2 if name == "opus" else 1,
        payloadType=payload_type,
        parameters=dict(parameters),
    )


_VIDEO = [
    _codec("video", "VP8", VP8),
    _codec("video", "rtx", VP8_RTX, apt=VP8),
    _codec("video", "H264", H264),
    _codec("video", "rtx", H264_RTX, apt=H264),
]
_AUDIO = [_codec("audio", "opus", OPUS), _codec("audio", "PCMU", PCMU)]


@dataclass(slots=True)
class Media:
    """One transport, and what sends and receives over it."""

    connection: PeerConnection
    transport: DtlsTransport
    video: Receiver
    audio: Receiver
    sender: Sender

    @classmethod
    async def begun(cls) -> "Media":
        """Set it up."""
        connection = PeerConnection()
        video, audio = (connection.addTransceiver(kind) for kind in ("video", "audio"))
        sender, transport = video.sender, video.receiver.transport
        assert isinstance(sender, Sender)
        assert isinstance(transport, DtlsTransport)
        assert isinstance(video.receiver, Receiver)
        assert isinstance(audio.receiver, Receiver)
        sender._ssrc, sender._rtx_ssrc = OWN_SSRC, OWN_RTX_SSRC
        sender.begin()
        made = cls(connection, transport, video.receiver, audio.receiver, sender)
        for receiver, mid, codecs in ((made.video, "0", _VIDEO), (made.audio, "1", _AUDIO)):
            await receiver.receive(made._received(mid, codecs))
        rtcp = RTCRtcpParameters(cname="here", ssrc=OWN_SSRC)
        await sender.send(RTCRtpSendParameters(codecs=_VIDEO, muxId="0", rtcp=rtcp))
        for receiver in (made.video, made.audio):
            receiver._set_rtcp_ssrc(OWN_SSRC)
        return made

    def _received(self, mid: str, codecs: list[RTCRtpCodecParameters]) -> RTCRtpReceiveParameters:
        rtx = RTCRtpRtxParameters(ssrc=VIDEO_RTX_SSRC)
        is_video = codecs is _VIDEO
        encoding = RTCRtpDecodingParameters(
            ssrc=VIDEO_SSRC if is_video else AUDIO_SSRC,
            payloadType=VP8 if is_video else OPUS,
            rtx=rtx if is_video else None,
        )
        return RTCRtpReceiveParameters(
            codecs=codecs,
            headerExtensions=[
                RTCRtpHeaderExtensionParameters(id=id, uri=uri) for uri, id in EXTENSIONS.items()
            ],
            muxId=mid,
            encodings=[encoding],
        )

    def anew(self) -> None:
        """Forget all packets that came."""
        for receiver in (self.video, self.audio):
            for name in _HIDDEN:
                receiver._private[name].clear()
            receiver.begin(DecoderPool())
            receiver._pleaded_at = float("-inf")
        self.video._private["rtx_ssrc"][VIDEO_RTX_SSRC] = VIDEO_SSRC
        table = self.transport._rtp_router.ssrc_table
        told = {VIDEO_SSRC: self.video, VIDEO_RTX_SSRC: self.video, AUDIO_SSRC: self.audio}
        table.clear()
        table.update(told)
        self.transport._learned.clear()

    async def close(self) -> None:
        """End all of it."""
        await self.sender.stop()
        await self.video.stop()
        await self.audio.stop()
        await self.connection.close()
