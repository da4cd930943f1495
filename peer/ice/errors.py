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
