"""The private names of aiortc and aioice that this package builds on."""

from importlib.metadata import version

from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSctpTransport,
)
from aiortc.rtcrtpreceiver import RemoteStreamTrack

from ..errors import IncompatibleVersions

AGENT_CONTRACT = (
    "gather_candidates",
    "ice_controlling",
    "local_candidates",
    "local_password",
    "local_username",
    "recv",
    "send",
)
"""The names that aiortc uses of ``RTCIceTransport._connection``, outside of methods that
:class:`IceTransport` replaces."""

METHODS: dict[type, tuple[str, ...]] = {
    RTCPeerConnection: (
        "_RTCPeerConnection__connect",
        "_RTCPeerConnection__createDtlsTransport",
        "_RTCPeerConnection__createSctpTransport",
        "_RTCPeerConnection__createTransceiver",
        "_RTCPeerConnection__gather",
        "_RTCPeerConnection__localRtp",
        "_RTCPeerConnection__remoteRtp",
        "_RTCPeerConnection__setSignalingState",
        "_RTCPeerConnection__updateConnectionState",
        "_RTCPeerConnection__updateIceConnectionState",
        "_RTCPeerConnection__updateIceGatheringState",
        "_RTCPeerConnection__validate_description",
    ),
    RTCCertificate: ("_create_ssl_context",),
    RTCDataChannel: ("_addBufferedAmount", "_setId", "_setReadyState"),
    RTCDtlsTransport: (
        "_do_handshake",
        "_get_stats",
        "_handle_rtcp_data",
        "_handle_rtp_data",
        "_register_data_receiver",
        "_register_rtp_receiver",
        "_set_role",
        "_set_state",
        "_setup_srtp",
        "_unregister_data_receiver",
        "_validate_peer_identity",
    ),
    RTCRtpReceiver: (
        "_RTCRtpReceiver__stop_decoder",
        "_handle_rtcp_packet",
        "_handle_rtp_packet",
        "_run_rtcp",
        "_send_rtcp",
        "_send_rtcp_nack",
        "_send_rtcp_pli",
        "_set_rtcp_ssrc",
    ),
    RTCRtpSender: ("_handle_rtcp_packet", "_run_rtp"),
    RTCRtpTransceiver: (
        "_get_mline_index",
        "_setCurrentDirection",
        "_set_mid",
        "_set_mline_index",
    ),
    RTCSctpTransport: (
        "_data_channel_add_negotiated",
        "_data_channel_close",
        "_data_channel_open",
        "_data_channel_send",
        "_handle_data",
    ),
}

ATTRIBUTES: dict[type, tuple[str, ...]] = {
    RTCPeerConnection: (
        "_RTCPeerConnection__certificates",
        "_RTCPeerConnection__closeTask",
        "_RTCPeerConnection__configuration",
        "_RTCPeerConnection__connectionState",
        "_RTCPeerConnection__currentLocalDescription",
        "_RTCPeerConnection__currentRemoteDescription",
        "_RTCPeerConnection__dtlsTransports",
        "_RTCPeerConnection__iceConnectionState",
        "_RTCPeerConnection__iceTransports",
        "_RTCPeerConnection__isClosed",
        "_RTCPeerConnection__pendingLocalDescription",
        "_RTCPeerConnection__pendingRemoteDescription",
        "_RTCPeerConnection__remoteDtls",
        "_RTCPeerConnection__remoteIce",
        "_RTCPeerConnection__sctp",
        "_RTCPeerConnection__sctpRemoteCaps",
        "_RTCPeerConnection__sctpRemotePort",
        "_RTCPeerConnection__sctp_mline_index",
        "_RTCPeerConnection__seenMids",
        "_RTCPeerConnection__stream_id",
        "_RTCPeerConnection__transceivers",
        "_sctpLegacySdp",
    ),
    RTCCertificate: ("_cert", "_key"),
    RTCDtlsTransport: (
        "_RTCDtlsTransport__local_certificate",
        "_RTCDtlsTransport__rx_bytes",
        "_RTCDtlsTransport__rx_packets",
        "_RTCDtlsTransport__tx_bytes",
        "_RTCDtlsTransport__tx_packets",
        "_role",
        "_rtp_header_extensions_map",
        "_rtp_router",
        "_rx_srtp",
        "_srtp_profiles",
        "_ssl",
        "_state",
        "_tx_srtp",
    ),
    RTCIceGatherer: ("_connection",),
    RTCRtpReceiver: (
        "_RTCRtpReceiver__active_ssrc",
        "_RTCRtpReceiver__codecs",
        "_RTCRtpReceiver__decoder_error",
        "_RTCRtpReceiver__decoder_queue",
        "_RTCRtpReceiver__decoder_thread",
        "_RTCRtpReceiver__kind",
        "_RTCRtpReceiver__lsr",
        "_RTCRtpReceiver__lsr_time",
        "_RTCRtpReceiver__remote_bitrate_estimator",
        "_RTCRtpReceiver__remote_streams",
        "_RTCRtpReceiver__rtcp_task",
        "_RTCRtpReceiver__rtcp_ssrc",
        "_RTCRtpReceiver__rtx_ssrc",
        "_RTCRtpReceiver__started",
        "_enabled",
        "_track",
    ),
    RTCIceTransport: ("_connection", "_recv", "_role_set", "_send"),
    RTCRtpSender: (
        "_RTCRtpSender__ntp_timestamp",
        "_RTCRtpSender__octet_count",
        "_RTCRtpSender__packet_count",
        "_RTCRtpSender__rtp_exited",
        "_RTCRtpSender__rtp_started",
        "_RTCRtpSender__rtp_timestamp",
        "_RTCRtpSender__rtt",
        "_enabled",
        "_rtx_ssrc",
        "_ssrc",
        "_stream_id",
    ),
    RTCRtpTransceiver: (
        "_bundled",
        "_codecs",
        "_headerExtensions",
        "_offerDirection",
        "_preferred_codecs",
    ),
    RTCSctpTransport: ("_remote_max_message_size",),
    RemoteStreamTrack: ("_queue",),
}


def check() -> None:
    """Make sure that the names this file builds on are there.

    Raises:
        IncompatibleVersions: Some are not; the message names them and the versions found.
    """
    missing = [
        f"{cls.__module__}.{cls.__name__}.{name}"
        for cls, names in METHODS.items()
        for name in names
        if not callable(getattr(cls, name, None))
    ]
    missing += [
        f"{cls.__module__}.{cls.__name__}.{name}"
        for cls, names in ATTRIBUTES.items()
        for name in names
        if name not in cls.__init__.__code__.co_names  # type: ignore[misc]
    ]
    if missing:
        found = f"aiortc {version('aiortc')} and aioice {version('aioice')}"
        raise IncompatibleVersions(missing, found)


check()
