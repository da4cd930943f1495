"""Errors of the ICE agent."""

from icefloe.text import public_url, quoted

from .._util.errors import PeerError


class InvalidServerUrl(PeerError, ValueError):
    """A STUN or TURN URL does not follow RFC 7064 or RFC 7065.

    Attributes:
        url: The URL as it was given.
    """

    def __init__(self, url: object, reason: str) -> None:
        self.url = url
        # An argument of another type is not printed: its repr may contain a password.
        shown = quoted(public_url(url)) if isinstance(url, str) else f"a {type(url).__name__}"
        super().__init__(
            f"{shown} is not a STUN or TURN URL: {reason}. Write it like "
            "stun:host:3478, turn:host:3478?transport=udp or turns:host:5349"
        )


class UdpPortUnavailable(PeerError, OSError):
    """The port of a ``UdpMux`` cannot be opened on any address.

    Attributes:
        port: The port; 0 for any.
        reason: What the system says.
    """

    def __init__(self, port: int, reason: str) -> None:
        self.port, self.reason = port, reason
        super().__init__(_port_problem("UDP", port, reason, listing="-ulpn"))


class UdpMuxUnusable(PeerError, RuntimeError):
    """A ``UdpMux`` is closed, or belongs to another event loop.

    Attributes:
        port: The port of the mux.
        is_closed: True if it is closed; else it was opened in another event loop.
    """

    def __init__(self, port: int, *, is_closed: bool) -> None:
        self.port, self.is_closed = port, is_closed
        super().__init__(_mux_problem("UdpMux", port, is_closed=is_closed))


class TcpPortUnavailable(PeerError, OSError):
    """The port of a ``TcpMux`` cannot be opened.

    Attributes:
        port: The port; 0 for any.
        reason: What the system says.
    """

    def __init__(self, port: int, reason: str) -> None:
        self.port, self.reason = port, reason
        super().__init__(_port_problem("TCP", port, reason, listing="-tlpn"))


class TcpMuxUnusable(PeerError, RuntimeError):
    """A ``TcpMux`` is closed, or belongs to another event loop.

    Attributes:
        port: The port of the mux.
        is_closed: True if it is closed; else it was opened in another event loop.
    """

    def __init__(self, port: int, *, is_closed: bool) -> None:
        self.port, self.is_closed = port, is_closed
        super().__init__(_mux_problem("TcpMux", port, is_closed=is_closed))


class FragmentInUse(PeerError, ValueError):
    """Two ICE agents of one port have the same username fragment.

    Their checks could not be told apart. Fragments that icefloe generates for a shared port are
    long enough to be unique.

    Attributes:
        fragment: The username fragment.
    """

    def __init__(self, fragment: str) -> None:
        self.fragment = fragment
        super().__init__(
            f"the username fragment {quoted(fragment)} is in use on this port; "
            "let icefloe choose it, or choose another"
        )


def _port_problem(transport: str, port: int, reason: str, *, listing: str) -> str:
    return (
        f"cannot open {transport} port {port}: {reason}; is another program using it? "
        f"ss {listing} shows which, and port 0 takes any that is free"
    )


def _mux_problem(mux: str, port: int, *, is_closed: bool) -> str:
    problem = (
        "is closed; close it after the connections that use it"
        if is_closed
        else "was opened in another event loop; open one for each event loop"
    )
    return f"the {mux} of port {port} {problem}"
