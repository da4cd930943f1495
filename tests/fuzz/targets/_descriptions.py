"""Descriptions as other stacks write them, and what a mutation of one may be made of."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "peer" / "sdp" / "descriptions"


def written(kind: str) -> list[bytes]:
    """Return the descriptions of a kind, ``offer`` or ``answer``."""
    return [path.read_bytes() for path in sorted(FOLDER.glob(f"*-{kind}.sdp"))]


TOKENS = (
    b"\r\n",
    b"\n",
    b" ",
    b":",
    b"/",
    b";",
    b"a=",
    b"m=",
    b"\r\na=",
    b"\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
    b"\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
    b"\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    b"\r\nm=application 9 DTLS/SCTP 5000\r\n",
    b"\r\na=mid:0",
    b"\r\na=mid:1",
    b"\r\na=group:BUNDLE 0 1 2",
    b"\r\na=candidate:1 1 udp 1 192.0.2.1 5 typ host",
    b"\r\na=end-of-candidates",
    b"\r\na=rtpmap:96 VP8/90000",
    b"\r\na=rtpmap:111 opus/48000/2",
    b"\r\na=fmtp:97 apt=96",
    b"\r\na=rtcp-fb:* nack pli",
    b"\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
    b"\r\na=ssrc-group:FID 1 2",
    b"\r\na=ssrc:1 cname:x",
    b"\r\na=msid:- track",
    b"\r\na=simulcast:send 1;2",
    b"\r\na=rid:1 send",
    b"\r\na=sctp-port:5000",
    b"\r\na=sctpmap:5000 webrtc-datachannel 65535",
    b"\r\na=max-message-size:18446744073709551616",
    b"\r\na=setup:actpass",
    b"\r\na=setup:holdconn",
    b"\r\na=ice-lite",
    b"\r\na=ice-ufrag:abcd",
    b"\r\na=bundle-only",
    b"\r\na=rtcp-mux",
    b"\r\na=inactive",
    b"\r\na=fingerprint:sha-256 ",
    b"0",
    b"-1",
    b"65536",
    b"4294967296",
    b"99999999999999999999",
    b"\xc2\xb2",
    b"\xd9\xa3",
    b"\xe2\x80\xa8",
    b"\x0b",
    b"\x00",
    b"\x1b[2J",
)
