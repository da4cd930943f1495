"""The phase and the advice of each cause."""

from .verdict import ConnectPhase, VerdictCause

PHASES = {
    ConnectPhase.SIGNALING: (
        VerdictCause.NO_ANSWER,
        VerdictCause.PEER_LEFT,
        VerdictCause.SIGNALING_LOST,
    ),
    ConnectPhase.GATHERING: (VerdictCause.NO_NETWORK, VerdictCause.STUN_UNREACHABLE),
    ConnectPhase.TURN: (
        VerdictCause.TURN_NAME_UNKNOWN,
        VerdictCause.TURN_UNREACHABLE,
        VerdictCause.TURN_CERTIFICATE_REFUSED,
        VerdictCause.TURN_CREDENTIALS_WRONG,
        VerdictCause.TURN_CREDENTIALS_LAPSED,
        VerdictCause.TURN_CLOCK_SKEW,
        VerdictCause.TURN_QUOTA_REACHED,
        VerdictCause.TURN_NO_CAPACITY,
        VerdictCause.TURN_REFUSED,
        VerdictCause.TURN_PEER_FORBIDDEN,
    ),
    ConnectPhase.CHECKS: (
        VerdictCause.NO_RELAY,
        VerdictCause.MDNS_UNRESOLVED,
        VerdictCause.ADDRESSES_UNREACHABLE,
        VerdictCause.CANDIDATES_NOT_FORWARDED,
        VerdictCause.CREDENTIALS_STALE,
        VerdictCause.ANSWERS_LOST,
        VerdictCause.NO_CHECK_ARRIVES,
    ),
    ConnectPhase.DTLS: (
        VerdictCause.DTLS_FINGERPRINT_MISMATCH,
        VerdictCause.DTLS_ROLE_CONFLICT,
        VerdictCause.DTLS_LARGE_PACKETS_LOST,
        VerdictCause.DTLS_NO_ANSWER,
        VerdictCause.DTLS_REFUSED,
        VerdictCause.NO_COMMON_SRTP_PROFILE,
    ),
    ConnectPhase.SCTP: (VerdictCause.SCTP_NO_ANSWER, VerdictCause.SCTP_ABORTED),
    ConnectPhase.MEDIA: (
        VerdictCause.NO_COMMON_CODEC,
        VerdictCause.NO_MEDIA_SENT,
        VerdictCause.NO_MEDIA_RECEIVED,
        VerdictCause.NO_KEY_FRAME,
        VerdictCause.DECODER_FAILS,
    ),
    ConnectPhase.CONSENT: (
        VerdictCause.PATH_LOST,
        VerdictCause.EVENT_LOOP_BLOCKED,
        VerdictCause.CLOSED_BY_PEER,
        VerdictCause.CLOSED_HERE,
    ),
}
"""The causes of each phase; the first two of :class:`VerdictCause` may have any."""

PHASE_OF = {cause: phase for phase, causes in PHASES.items() for cause in causes}

ADVICE = {
    VerdictCause.NOTHING_WRONG: "Whatever was negotiated works.",
    VerdictCause.STILL_CONNECTING: "Nothing is known to be wrong yet: wait, or ask again later.",
    VerdictCause.NO_ANSWER: (
        "It never answered the offer: see that it is still there, takes connections, and that its "
        "answer is forwarded."
    ),
    VerdictCause.PEER_LEFT: "The other side has left: wait until it joins again.",
    VerdictCause.SIGNALING_LOST: (
        "Signaling is down, so no answer can come: see that the signaling server runs and can be "
        "reached."
    ),
    VerdictCause.NO_NETWORK: (
        "This machine has no usable network address and no relay gave one: see that it is "
        "connected, and what interfaces and addresses of the configuration allow."
    ),
    VerdictCause.STUN_UNREACHABLE: (
        "No STUN server answers, so this network probably blocks UDP: add a TURN server over TLS, "
        "as turns:host:443?transport=tcp."
    ),
    VerdictCause.TURN_NAME_UNKNOWN: (
        "The name of the TURN server does not resolve: correct the URL in iceServers, or the DNS "
        "of this machine."
    ),
    VerdictCause.TURN_UNREACHABLE: (
        "The TURN server does not answer: see that it runs and that firewalls let its port in, and "
        "name it over TCP and TLS as well."
    ),
    VerdictCause.TURN_CERTIFICATE_REFUSED: (
        "The certificate of the TURN server is not trusted: renew it, use the name that it is for, "
        "or give tls_ca_file."
    ),
    VerdictCause.TURN_CREDENTIALS_WRONG: (
        "The TURN server refuses the credentials: compare username and credential, or the shared "
        "secret, with those of the server."
    ),
    VerdictCause.TURN_CREDENTIALS_LAPSED: (
        "The credentials of the TURN server have lapsed: fetch new ones and give them to "
        "setConfiguration()."
    ),
    VerdictCause.TURN_CLOCK_SKEW: (
        "The credentials had lapsed when they came: set the clocks of this machine, of who made "
        "them and of the TURN server by NTP."
    ),
    VerdictCause.TURN_QUOTA_REACHED: (
        "The user has too many allocations: raise user-quota of the TURN server, or give each "
        "participant a user name of its own."
    ),
    VerdictCause.TURN_NO_CAPACITY: (
        "The TURN server is full: widen its range of relay ports, raise total-quota, or add a "
        "server."
    ),
    VerdictCause.TURN_REFUSED: (
        "The TURN server gives no relay: look up the code, and what its log says."
    ),
    VerdictCause.TURN_PEER_FORBIDDEN: (
        "The relay may not send to the other side's addresses: allow them as peers "
        "(allowed-peer-ip), or give the other side a relay, too."
    ),
    VerdictCause.NO_RELAY: (
        "Neither side's NAT lets the other one in: give both sides a TURN server in iceServers."
    ),
    VerdictCause.MDNS_UNRESOLVED: (
        "The other side hides its addresses behind names of its own network: give it a STUN or "
        "TURN server, or a microphone permission in the browser."
    ),
    VerdictCause.ADDRESSES_UNREACHABLE: (
        "One side tells only addresses that nobody outside reaches: give it external_addresses "
        "with udp_mux or port_range, or a STUN or TURN server."
    ),
    VerdictCause.CANDIDATES_NOT_FORWARDED: (
        "No candidate of the other side came: forward every icecandidate event by signaling, and "
        "call addIceCandidate() with each."
    ),
    VerdictCause.CREDENTIALS_STALE: (
        "The two sides check with credentials of different descriptions: apply the latest offer "
        "and answer on both sides, and do not cache descriptions."
    ),
    VerdictCause.ANSWERS_LOST: (
        "The other side reaches this one, but its answers do not come: let UDP out and in again in "
        "the firewall of this machine, or give both sides a TURN server."
    ),
    VerdictCause.NO_CHECK_ARRIVES: (
        "No pair of addresses answered: let UDP in at the firewall of one side, or give both sides "
        "a TURN server in iceServers."
    ),
    VerdictCause.DTLS_FINGERPRINT_MISMATCH: (
        "The certificate is not the one of the description: see that signaling does not mix up or "
        "alter descriptions, for it may be an attack."
    ),
    VerdictCause.DTLS_ROLE_CONFLICT: (
        "Both sides have the same role in the handshake: do not alter a=setup, and answer each "
        "offer once."
    ),
    VerdictCause.DTLS_LARGE_PACKETS_LOST: (
        "Small packets pass and large ones do not: lower the MTU of the tunnel or VPN on the path, "
        "or let ICMP 'fragmentation needed' pass."
    ),
    VerdictCause.DTLS_NO_ANSWER: (
        "Nothing of the handshake comes: a middlebox drops DTLS, or the other side does not start "
        "it; try a TURN server over TLS."
    ),
    VerdictCause.DTLS_REFUSED: (
        "The handshake ended with an error: see that both sides support DTLS 1.2, and look at the "
        "other side's log."
    ),
    VerdictCause.NO_COMMON_SRTP_PROFILE: (
        "The two sides have no SRTP profile in common: have the other side allow "
        "SRTP_AEAD_AES_128_GCM or SRTP_AES128_CM_SHA1_80."
    ),
    VerdictCause.SCTP_NO_ANSWER: (
        "The data channels' association is not answered: see that the other side negotiated the "
        "section and supports SCTP over DTLS."
    ),
    VerdictCause.SCTP_ABORTED: (
        "The data channels' association has ended: see what the other side's log says, and make a "
        "new connection."
    ),
    VerdictCause.NO_COMMON_CODEC: (
        "A media section was rejected: offer a codec that both sides have, such as VP8 or H.264 "
        "and Opus."
    ),
    VerdictCause.NO_MEDIA_SENT: (
        "This side sends nothing: see that the track yields frames and has not ended."
    ),
    VerdictCause.NO_MEDIA_RECEIVED: (
        "Nothing comes of media that was negotiated: see that the other side's track is live and "
        "not muted."
    ),
    VerdictCause.NO_KEY_FRAME: (
        "Packets come, but no key frame to begin with: see that the other side answers PLI, and "
        "that an SFU between forwards it."
    ),
    VerdictCause.DECODER_FAILS: (
        "Packets come, but the decoder makes nothing of them: compare codec, profile and size with "
        "what this side supports and max_video_pixels allows."
    ),
    VerdictCause.PATH_LOST: (
        "The path went silent: see that signaling works, so that ICE can be restarted, and which "
        "network has changed."
    ),
    VerdictCause.EVENT_LOOP_BLOCKED: (
        "This program blocked its event loop: move slow work into a thread, and find it by "
        "asyncio's debug mode."
    ),
    VerdictCause.CLOSED_BY_PEER: (
        "The other side closed the connection: connect again if it should not."
    ),
    VerdictCause.CLOSED_HERE: "This side closed the connection: make a new one.",
}
"""One sentence for each cause."""
