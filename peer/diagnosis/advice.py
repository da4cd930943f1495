"""The phase and the advice of each cause."""

from .verdict import Cause, ConnectPhase

PHASES = {
    ConnectPhase.SIGNALING: (Cause.NO_ANSWER, Cause.PEER_LEFT, Cause.SIGNALING_LOST),
    ConnectPhase.GATHERING: (Cause.NO_NETWORK, Cause.STUN_UNREACHABLE),
    ConnectPhase.TURN: (
        Cause.TURN_NAME_UNKNOWN,
        Cause.TURN_UNREACHABLE,
        Cause.TURN_CERTIFICATE_REFUSED,
        Cause.TURN_CREDENTIALS_WRONG,
        Cause.TURN_CREDENTIALS_LAPSED,
        Cause.TURN_CLOCK_SKEW,
        Cause.TURN_QUOTA_REACHED,
        Cause.TURN_NO_CAPACITY,
        Cause.TURN_REFUSED,
        Cause.TURN_PEER_FORBIDDEN,
    ),
    ConnectPhase.CHECKS: (
        Cause.NO_RELAY,
        Cause.MDNS_UNRESOLVED,
        Cause.ADDRESSES_UNREACHABLE,
        Cause.CANDIDATES_NOT_FORWARDED,
        Cause.CREDENTIALS_STALE,
        Cause.ANSWERS_LOST,
        Cause.NO_CHECK_ARRIVES,
    ),
    ConnectPhase.DTLS: (
        Cause.DTLS_FINGERPRINT_MISMATCH,
        Cause.DTLS_ROLE_CONFLICT,
        Cause.DTLS_LARGE_PACKETS_LOST,
        Cause.DTLS_NO_ANSWER,
        Cause.DTLS_REFUSED,
        Cause.NO_COMMON_SRTP_PROFILE,
    ),
    ConnectPhase.SCTP: (Cause.SCTP_NO_ANSWER, Cause.SCTP_ABORTED),
    ConnectPhase.MEDIA: (
        Cause.NO_COMMON_CODEC,
        Cause.NO_MEDIA_SENT,
        Cause.NO_MEDIA_RECEIVED,
        Cause.NO_KEY_FRAME,
        Cause.DECODER_FAILS,
    ),
    ConnectPhase.CONSENT: (
        Cause.PATH_LOST,
        Cause.EVENT_LOOP_BLOCKED,
        Cause.CLOSED_BY_PEER,
        Cause.CLOSED_HERE,
    ),
}
"""The causes of each phase; the first two of :class:`Cause` may have any."""

PHASE_OF = {cause: phase for phase, causes in PHASES.items() for cause in causes}

ADVICE = {
    Cause.NOTHING_WRONG: "Whatever was negotiated works.",
    Cause.STILL_CONNECTING: "Nothing is known to be wrong yet: wait, or ask again later.",
    Cause.NO_ANSWER: (
        "It never answered the offer: see that it is still there, takes connections, and that its "
        "answer is forwarded."
    ),
    Cause.PEER_LEFT: "The other side has left: wait until it joins again.",
    Cause.SIGNALING_LOST: (
        "Signaling is down, so no answer can come: see that the signaling server runs and can be "
        "reached."
    ),
    Cause.NO_NETWORK: (
        "This machine has no usable network address and no relay gave one: see that it is "
        "connected, and what interfaces and addresses of the configuration allow."
    ),
    Cause.STUN_UNREACHABLE: (
        "No STUN server answers, so this network probably blocks UDP: add a TURN server over TLS, "
        "as turns:host:443?transport=tcp."
    ),
    Cause.TURN_NAME_UNKNOWN: (
        "The name of the TURN server does not resolve: correct the URL in iceServers, or the DNS "
        "of this machine."
    ),
    Cause.TURN_UNREACHABLE: (
        "The TURN server does not answer: see that it runs and that firewalls let its port in, and "
        "name it over TCP and TLS as well."
    ),
    Cause.TURN_CERTIFICATE_REFUSED: (
        "The certificate of the TURN server is not trusted: renew it, use the name that it is for, "
        "or give tls_ca_file."
    ),
    Cause.TURN_CREDENTIALS_WRONG: (
        "The TURN server refuses the credentials: compare username and credential, or the shared "
        "secret, with those of the server."
    ),
    Cause.TURN_CREDENTIALS_LAPSED: (
        "The credentials of the TURN server have lapsed: fetch new ones and give them to "
        "setConfiguration()."
    ),
    Cause.TURN_CLOCK_SKEW: (
        "The credentials had lapsed when they came: set the clocks of this machine, of who made "
        "them and of the TURN server by NTP."
    ),
    Cause.TURN_QUOTA_REACHED: (
        "The user has too many allocations: raise user-quota of the TURN server, or give each "
        "participant a user name of its own."
    ),
    Cause.TURN_NO_CAPACITY: (
        "The TURN server is full: widen its range of relay ports, raise total-quota, or add a "
        "server."
    ),
    Cause.TURN_REFUSED: (
        "The TURN server gives no relay: look up the code, and what its log says."
    ),
    Cause.TURN_PEER_FORBIDDEN: (
        "The relay may not send to the other side's addresses: allow them as peers "
        "(allowed-peer-ip), or give the other side a relay, too."
    ),
    Cause.NO_RELAY: (
        "Neither side's NAT lets the other one in: give both sides a TURN server in iceServers."
    ),
    Cause.MDNS_UNRESOLVED: (
        "The other side hides its addresses behind names of its own network: give it a STUN or "
        "TURN server, or a microphone permission in the browser."
    ),
    Cause.ADDRESSES_UNREACHABLE: (
        "One side tells only addresses that nobody outside reaches: give it external_addresses "
        "with udp_mux or port_range, or a STUN or TURN server."
    ),
    Cause.CANDIDATES_NOT_FORWARDED: (
        "No candidate of the other side came: forward every icecandidate event by signaling, and "
        "call addIceCandidate() with each."
    ),
    Cause.CREDENTIALS_STALE: (
        "The two sides check with credentials of different descriptions: apply the latest offer "
        "and answer on both sides, and do not cache descriptions."
    ),
    Cause.ANSWERS_LOST: (
        "The other side reaches this one, but its answers do not come: let UDP out and in again in "
        "the firewall of this machine, or give both sides a TURN server."
    ),
    Cause.NO_CHECK_ARRIVES: (
        "No pair of addresses answered: let UDP in at the firewall of one side, or give both sides "
        "a TURN server in iceServers."
    ),
    Cause.DTLS_FINGERPRINT_MISMATCH: (
        "The certificate is not the one of the description: see that signaling does not mix up or "
        "alter descriptions, for it may be an attack."
    ),
    Cause.DTLS_ROLE_CONFLICT: (
        "Both sides have the same role in the handshake: do not alter a=setup, and answer each "
        "offer once."
    ),
    Cause.DTLS_LARGE_PACKETS_LOST: (
        "Small packets pass and large ones do not: lower the MTU of the tunnel or VPN on the path, "
        "or let ICMP 'fragmentation needed' pass."
    ),
    Cause.DTLS_NO_ANSWER: (
        "Nothing of the handshake comes: a middlebox drops DTLS, or the other side does not start "
        "it; try a TURN server over TLS."
    ),
    Cause.DTLS_REFUSED: (
        "The handshake ended with an error: see that both sides support DTLS 1.2, and look at the "
        "other side's log."
    ),
    Cause.NO_COMMON_SRTP_PROFILE: (
        "The two sides have no SRTP profile in common: have the other side allow "
        "SRTP_AEAD_AES_128_GCM or SRTP_AES128_CM_SHA1_80."
    ),
    Cause.SCTP_NO_ANSWER: (
        "The data channels' association is not answered: see that the other side negotiated the "
        "section and supports SCTP over DTLS."
    ),
    Cause.SCTP_ABORTED: (
        "The data channels' association has ended: see what the other side's log says, and make a "
        "new connection."
    ),
    Cause.NO_COMMON_CODEC: (
        "A media section was rejected: offer a codec that both sides have, such as VP8 or H.264 "
        "and Opus."
    ),
    Cause.NO_MEDIA_SENT: (
        "This side sends nothing: see that the track yields frames and has not ended."
    ),
    Cause.NO_MEDIA_RECEIVED: (
        "Nothing comes of media that was negotiated: see that the other side's track is live and "
        "not muted."
    ),
    Cause.NO_KEY_FRAME: (
        "Packets come, but no key frame to begin with: see that the other side answers PLI, and "
        "that an SFU between forwards it."
    ),
    Cause.DECODER_FAILS: (
        "Packets come, but the decoder makes nothing of them: compare codec, profile and size with "
        "what this side supports and max_video_pixels allows."
    ),
    Cause.PATH_LOST: (
        "The path went silent: see that signaling works, so that ICE can be restarted, and which "
        "network has changed."
    ),
    Cause.EVENT_LOOP_BLOCKED: (
        "This program blocked its event loop: move slow work into a thread, and find it by "
        "asyncio's debug mode."
    ),
    Cause.CLOSED_BY_PEER: "The other side closed the connection: connect again if it should not.",
    Cause.CLOSED_HERE: "This side closed the connection: make a new one.",
}
"""One sentence for each cause."""
