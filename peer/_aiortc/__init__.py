"""The seam: the one folder that touches private names of aiortc and aioice.

Everything here is a thin, named way to something that aiortc 1.16 or aioice 0.13 keeps to itself;
what is done with it stands elsewhere. It is what to look through when aiortc or aioice change.
:func:`check` runs at import, so that versions which lack one of the names are refused with an error
that says so, and not in the middle of a call.

===================  ===============================================
:mod:`.names`        what is built on, and the check
:mod:`.private`      the way to name-mangled attributes
:mod:`.connection`   ``RTCPeerConnection``
:mod:`.sections`     likewise, its media sections, and how it applies a remote description
:mod:`.snapshot`     likewise, its negotiated state for a rollback
:mod:`.transceiver`  ``RTCRtpTransceiver``
:mod:`.codecs`       likewise, its codecs
:mod:`.sender`       ``RTCRtpSender``
:mod:`.receiver`     ``RTCRtpReceiver``
:mod:`.tap`          likewise, what it hands on
:mod:`.sctp`         ``RTCSctpTransport``, ``RTCDataChannel``
:mod:`.dtls`         ``RTCDtlsTransport``
:mod:`.certificate`  ``RTCCertificate``
:mod:`.ice`          ``RTCIceTransport``, ``RTCIceGatherer``
===================  ===============================================

aiortc builds its ICE objects in one method, ``RTCPeerConnection.__createDtlsTransport``. It is
overridden to put an :class:`~icefloe.peer.ice.agent.IceAgent` in the place of the
``aioice.Connection``; of that object aiortc uses the names of :data:`AGENT_CONTRACT`.
"""

from typing import TYPE_CHECKING

from icefloe._util.lazy import exports

from .names import AGENT_CONTRACT, check  # checks before anything is built on it

if TYPE_CHECKING:
    from .codecs import negotiated_media, prefers_codecs, set_media, shares_codec
    from .connection import ConnectionAdapter, Hooks, guard
    from .dtls import DtlsTransport, transport_stats
    from .ice import Gatherer, IceTransport, agent_of
    from .receiver import Receiver
    from .sctp import CountedChannel, SctpTransport
    from .sections import RemoteSections, describe_transport, parse, read_sections
    from .sender import Sender
    from .snapshot import Snapshot, restore, take
    from .tap import origin_of
    from .transport_feedback import (
        header_extensions,
        with_stream_feedback,
        with_transport_feedback,
        with_wildcards,
    )

__all__ = [
    "AGENT_CONTRACT",
    "ConnectionAdapter",
    "CountedChannel",
    "DtlsTransport",
    "Gatherer",
    "Hooks",
    "IceTransport",
    "Receiver",
    "RemoteSections",
    "SctpTransport",
    "Sender",
    "Snapshot",
    "agent_of",
    "check",
    "describe_transport",
    "guard",
    "header_extensions",
    "negotiated_media",
    "origin_of",
    "parse",
    "prefers_codecs",
    "read_sections",
    "restore",
    "set_media",
    "shares_codec",
    "take",
    "transport_stats",
    "with_stream_feedback",
    "with_transport_feedback",
    "with_wildcards",
]

# What needs no media loads none of it, and so on.
_MODULES = {
    ".codecs": ("negotiated_media", "prefers_codecs", "set_media", "shares_codec"),
    ".connection": ("ConnectionAdapter", "Hooks", "guard"),
    ".dtls": ("DtlsTransport", "transport_stats"),
    ".ice": ("Gatherer", "IceTransport", "agent_of"),
    ".receiver": ("Receiver",),
    ".sctp": ("CountedChannel", "SctpTransport"),
    ".sections": ("RemoteSections", "describe_transport", "parse", "read_sections"),
    ".sender": ("Sender",),
    ".snapshot": ("Snapshot", "restore", "take"),
    ".tap": ("origin_of",),
    ".transport_feedback": (
        "header_extensions",
        "with_stream_feedback",
        "with_transport_feedback",
        "with_wildcards",
    ),
}

if not TYPE_CHECKING:  # which would take any name for one of the package
    __getattr__, __dir__ = exports(__name__, _MODULES)
