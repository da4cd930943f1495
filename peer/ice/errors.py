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
        super().__init__(
            f"cannot open UDP port {port}: {reason}; is another program using it? "
            "ss -ulpn shows which, and port 0 takes any that is free"
        )


class UdpMuxUnusable(PeerError, RuntimeError):
    """A ``UdpMux`` is closed, or belongs to another event loop.

    Attributes:
        port: The port of the mux.
        is_closed: True if it is closed; else it was opened in another event loop.
    """

    def __init__(self, port: int, *, is_closed: bool) -> None:
        self.port, self.is_closed = port, is_closed
        problem = (
            "is closed; close it after the connections that use it"
            if is_closed
            else "was opened in another event loop; open one for each event loop"
        )
        super().__init__(f"the UdpMux of port {port} {problem}")


class TcpPortUnavailable(PeerError, OSError):
    """The port of a ``TcpMux`` cannot be opened.

    Attributes:
        port: The port; 0 for any.
        reason: What the system says.
    """

    def __init__(self, port: int, reason: str) -> None:
        self.port, self.reason = port, reason
        super().__init__(
            f"cannot open TCP port {port}: {reason}; is another program using it? "
            "ss -tlpn shows which, and port 0 takes any that is free"
        )


class TcpMuxUnusable(PeerError, RuntimeError):
    """A ``TcpMux`` is closed, or belongs to another event loop.

    Attributes:
        port: The port of the mux.
        is_closed: True if it is closed; else it was opened in another event loop.
    """

    def __init__(self, port: int, *, is_closed: bool) -> None:
        self.port, self.is_closed = port, is_closed
        problem = (
            "is closed; close it after the connections that use it"
            if is_closed
            else "was opened in another event loop; open one for each event loop"
        )
        super().__init__(f"the TcpMux of port {port} {problem}")


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
