"""``PeerConfiguration``: the settings of a peer connection."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCIceTransportPolicy

from icefloe.text import public_url

from .errors import InvalidConfiguration
from .ice.configuration import (
    CONSENT_INTERVAL,
    LONGEST_CONSENT_INTERVAL,
    MAX_REMOTES,
    IceConfiguration,
    external_pairs,
)
from .ice.gather.interfaces import Selection
from .ice.server_urls import parse_servers
from .rtp.receive.bitstream_size import MOST_PIXELS
from .rtp.receive.decoder_pool import MOST_DECODERS
from .sctp.admission import MOST_CHANNELS

if TYPE_CHECKING:
    from .ice.mux.udp_mux import UdpMux
    from .ice.tcp.mux import TcpMux


@dataclass
class PeerConfiguration(RTCConfiguration):
    """aiortc's ``RTCConfiguration`` with icefloe's fields.

    Two defaults differ from aiortc's: without ``iceServers`` no server is contacted, and media is
    bundled on one transport. W3C's members have W3C's names; icefloe's own have underscores.

    Raises:
        InvalidConfiguration: A field has a value that makes no sense; a ``ValueError``.
        InvalidServerUrl: A URL in ``iceServers`` is malformed; a ``ValueError``.
    """

    bundlePolicy: RTCBundlePolicy = RTCBundlePolicy.MAX_BUNDLE
    """Everything on one transport, as every browser does it (RFC 8843)."""

    gathering_timeout: float = 1.0
    """Seconds that ``setLocalDescription()`` waits at most for servers that do not answer, while
    nobody listens to ``icecandidate``. With a listener it never waits."""

    server_timeout: float = 5.0
    """Seconds that a STUN or TURN server has to answer before it is given up."""

    patience: float = 39.5
    """Seconds after the start of connectivity checks before they may fail for want of candidates,
    and after which no further remote candidates are waited for. RFC 8863 section 4 asks for at
    least the length of a STUN transaction, which is 39.5 s."""

    checking_timeout: float = 60.0
    """Seconds after the start of connectivity checks after which they fail, whatever is still
    pending; at least :attr:`patience`."""

    disconnected_timeout: float = 1.5
    """Seconds of silence before a path that worked is ``disconnected``. Silence counts from when
    something was sent that ought to be answered, data or media or a check. A path over which
    something is sent is lost after as long; see :attr:`consent_interval` for one that is idle."""

    failed_timeout: float = 25.0
    """Seconds after that before the connection has ``failed``. It still comes back if the path
    does, or another one is found."""

    consent_interval: float = CONSENT_INTERVAL
    """Seconds between checks of a path over which nothing is sent, on average; each time 0.8 to 1.2
    times as many (RFC 7675 section 5.1). A path that is lost while it is idle is ``disconnected``
    when a check has not been answered for :attr:`disconnected_timeout`: 7.5 s after it was lost at
    most. Less notices it sooner, and costs processor time and battery: with 0.5 as soon as a path
    in use. At most 15."""

    restart_automatically: bool = True
    """Restart ICE, by ``negotiationneeded``, when the path is
    ``disconnected``, the machine's addresses change or a TURN server drops the allocation."""

    close_timeout: float = 0.5
    """Seconds that closing waits at most for TURN servers to free their allocations."""

    tls_context: ssl.SSLContext | None = None
    """The TLS context that verifies ``turns:`` servers; by default with the system's
    certification authorities."""

    tls_ca_file: str | Path | None = None
    """For a TURN server of one's own: a PEM file of certification authorities that are trusted
    beside the system's. Not together with ``tls_context``."""

    interfaces: Sequence[str] | Callable[[str], bool] = ()
    """For a machine with networks that calls must not use, or only these: names of interfaces,
    with the wildcards of a shell. ``("eth*", "wlan0")`` gathers on no others, ``("!docker*",
    "!tun0")`` on all others; a name that is denied stays denied. Or a function that is given a
    name. It decides which addresses are offered; how a TURN server is reached is the routing
    table's matter."""

    addresses: Sequence[str] = ()
    """The same by address: networks such as ``("10.0.0.0/8",)``, of which alone addresses are
    offered, or ``("!fd00::/8", "!192.168.122.0/24")``, of which none are."""

    include_loopback: bool = False
    """For two programs on one machine that has a network, too: gather on ``127.0.0.1`` and ``::1``
    as well. A machine that has nothing else gathers on them anyhow."""

    port_range: tuple[int, int] | None = None
    """For a firewall that lets a range of UDP ports in, or a container that publishes one: the
    first and the last port that host candidates may use. Each connection takes one on each address,
    and an ICE restart takes others beside those in use, so have twice as many. The sockets that
    speak to TURN servers are not bound by it, since nothing comes in to them unasked."""

    ice_tcp: bool = True
    """Connect by TCP to a peer that offers it, as browsers do: a server with a ``tcp_mux``, or one
    of another stack with *passive* candidates (RFC 6544). Such a path is used where there is none
    over UDP, and left when there is one. At most 16 connections are tried between two ICE restarts,
    of the ports below 1024 only 80 and 443 at public addresses. Under the ``relay`` policy there
    are none."""

    tcp_mux: "TcpMux | None" = None
    """For a server whose peers may be in networks that block UDP: the TCP port that they can
    connect to, which any number of connections share; see :class:`TcpMux`. Its candidates follow
    ``interfaces``, ``addresses`` and ``external_addresses``."""

    udp_mux: "UdpMux | None" = None
    """For a container or a firewall with one open UDP port: the port that all connections share,
    see :class:`UdpMux`. ICE restarts keep it. ``interfaces``, ``addresses`` and
    ``include_loopback`` choose among the addresses on which the mux has it. Not together with
    ``port_range``."""

    external_addresses: Mapping[str, str] | Sequence[str] = ()
    """For a cloud machine behind a 1:1 NAT, or a container whose ports are published: the address
    that others see instead of the local one, as ``{"10.0.0.4": "203.0.113.4"}``; or just
    ``("203.0.113.4",)``, one for each IP version, which then stands for all local addresses of it.
    Ports must be the same on both sides."""

    external_address_type: Literal["host", "srflx"] = "host"
    """The type of candidates with an external address: ``host`` announces it in the place of the
    local one, so that nobody tries to reach that; ``srflx`` announces both, for a machine that has
    peers on its own network, too."""

    hide_host_addresses: bool = False
    """For who should not learn the local addresses: announce names in their place that only the
    local network can resolve, by multicast DNS (draft-ietf-mmusic-mdns-ice-candidates), as browsers
    do it. What cannot be published is not announced; the address that a STUN server sees is."""

    max_remote_candidates: int = MAX_REMOTES
    """Candidates of the remote peer that are taken between two ICE restarts; more are ignored.
    Browsers send a few dozen. Loopback and link-local ones are checked only from a local candidate
    that is such too, and those of no single host (multicast, broadcast) not at all."""

    max_data_channels: int = MOST_CHANNELS
    """Data channels that the remote peer may have open at a time; further ones are closed at once
    and counted in the statistics. Their labels and protocols may have 1 MiB together."""

    max_video_pixels: int = MOST_PIXELS
    """Pixels of a picture that is decoded: 4096 x 2304, either way up. Larger ones are refused by
    what their headers say, before a decoder sees them, and counted as dropped. All tracks of a
    connection together may have four times as many."""

    max_decoders: int = MOST_DECODERS
    """Tracks that are decoded at a time, each in a thread of its own. One of which nothing comes,
    or that nobody reads, needs none; what comes of further ones is dropped and counted."""

    timeline_events: int = 1000
    """Events that are kept in :attr:`PeerConnection.timeline`: the first half of so many, and the
    latest half. 0 keeps none."""

    def __post_init__(self) -> None:
        for name, least in _COUNTS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InvalidConfiguration(name, value, f"it must be at least {least}")
        for name in _TIMES:
            if getattr(self, name) < 0:
                raise InvalidConfiguration(name, getattr(self, name), "it must not be negative")
        if not 0 < self.consent_interval <= LONGEST_CONSENT_INTERVAL:
            problem = f"it must be more than 0 and at most {LONGEST_CONSENT_INTERVAL:g}"
            raise InvalidConfiguration("consent_interval", self.consent_interval, problem)
        if self.tls_ca_file is not None:
            if self.tls_context is not None:
                problem = "give tls_context or tls_ca_file, not both"
                raise InvalidConfiguration("tls_ca_file", self.tls_ca_file, problem)
            if not Path(self.tls_ca_file).is_file():
                raise InvalidConfiguration("tls_ca_file", self.tls_ca_file, "there is no such file")
        parse_servers(self.iceServers)
        if self.tcp_mux is not None and not hasattr(self.tcp_mux, "port_for"):
            problem = "give a TcpMux, as from await TcpMux.open(443)"
            raise InvalidConfiguration("tcp_mux", self.tcp_mux, problem)
        self._check_patterns()
        self._check_ports()
        self._check_external()

    def _check_patterns(self) -> None:
        for name in ("interfaces", "addresses"):
            value = getattr(self, name)
            if isinstance(value, str):
                problem = f"give a sequence of strings, as ({value!r},)"
                raise InvalidConfiguration(name, value, problem)
            try:
                Selection(**{name: value})
            except (TypeError, ValueError, AttributeError) as error:
                raise InvalidConfiguration(name, value, str(error)) from error

    def _check_ports(self) -> None:
        if self.udp_mux is not None:
            from .ice.mux.udp_mux import UdpMux  # who has none does not load it

            if not isinstance(self.udp_mux, UdpMux):
                problem = "give what `await UdpMux.open(port)` returns"
                raise InvalidConfiguration("udp_mux", self.udp_mux, problem)
            if self.port_range is not None:
                problem = "all connections use the port of udp_mux; give one of the two"
                raise InvalidConfiguration("port_range", self.port_range, problem)
        if self.port_range is None:
            return
        try:
            first, last = self.port_range
            valid = 1 <= first <= last <= 65535
        except (TypeError, ValueError):
            valid = False
        if not valid:
            problem = "give the first and the last port, as (50000, 50100)"
            raise InvalidConfiguration("port_range", self.port_range, problem)

    def _check_external(self) -> None:
        given = self.external_addresses
        try:
            pairs = external_pairs(given)
        except (TypeError, ValueError) as error:
            raise InvalidConfiguration("external_addresses", given, str(error)) from error
        if self.external_address_type not in ("host", "srflx"):
            problem = "it is either 'host' or 'srflx'"
            raise InvalidConfiguration("external_address_type", self.external_address_type, problem)
        if pairs and self.hide_host_addresses and self.external_address_type == "host":
            problem = (
                "hide_host_addresses puts a name where the external address would go; "
                "set external_address_type='srflx' to announce both"
            )
            raise InvalidConfiguration("external_addresses", given, problem)

    def __repr__(self) -> str:
        # aiortc's RTCIceServer shows its credential.
        shown = {field.name: getattr(self, field.name) for field in fields(self)}
        shown["iceServers"] = [server_in_short(each) for each in self.iceServers or ()]
        return (
            f"PeerConfiguration({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
        )

    @property
    def selection(self) -> Selection:
        """The interfaces and addresses that ``interfaces`` and so on leave."""
        return Selection(self.interfaces, self.addresses, self.include_loopback)

    @property
    def ice(self) -> IceConfiguration:
        """The part that an ICE agent goes by."""
        return IceConfiguration(
            relay_only=self.iceTransportPolicy is RTCIceTransportPolicy.RELAY,
            server_timeout=self.server_timeout,
            patience=self.patience,
            checking_timeout=self.checking_timeout,
            disconnected_timeout=self.disconnected_timeout,
            failed_timeout=self.failed_timeout,
            consent_interval=self.consent_interval,
            close_timeout=self.close_timeout,
            tls_context=self.tls_context,
            tls_ca_file=self.tls_ca_file,
            selection=self.selection,
            port_range=self.port_range,
            udp_mux=self.udp_mux,
            external_addresses=external_pairs(self.external_addresses),
            external_as_host=self.external_address_type == "host",
            hide_host_addresses=self.hide_host_addresses,
            max_remote_candidates=self.max_remote_candidates,
            active_tcp=self.ice_tcp and self.iceTransportPolicy is not RTCIceTransportPolicy.RELAY,
            tcp_mux=self.tcp_mux,
        )


def server_in_short(server: RTCIceServer) -> str:
    """Return the URLs of a server, without the credentials that its ``repr`` has."""
    urls = [server.urls] if isinstance(server.urls, str) else server.urls
    return " ".join(public_url(str(url)) for url in urls)


_COUNTS = {
    "max_remote_candidates": 1,
    "max_data_channels": 0,
    "max_video_pixels": 1,
    "max_decoders": 0,
    "timeline_events": 0,
}
"""Fields that are numbers of something, and the least that makes sense."""

_TIMES = (
    "gathering_timeout",
    "server_timeout",
    "patience",
    "checking_timeout",
    "disconnected_timeout",
    "failed_timeout",
    "close_timeout",
)


def complete(configuration: RTCConfiguration | None) -> PeerConfiguration:
    """Return a ``PeerConfiguration`` for whatever a peer connection was given.

    An ``RTCConfiguration`` is taken at its word. Its ``bundlePolicy`` is ``BALANCED`` by default,
    which is a transport for each kind of media until the remote peer has agreed to bundle.
    """
    if configuration is None:
        return PeerConfiguration()
    if isinstance(configuration, PeerConfiguration):
        return replace(configuration)
    given = {field.name: getattr(configuration, field.name) for field in fields(RTCConfiguration)}
    return PeerConfiguration(**given)
