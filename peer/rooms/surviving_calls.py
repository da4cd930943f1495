"""Calls that go on after signaling has lost their participant."""

from collections.abc import Iterator

from .remote_peer import RemotePeer


class Outlived:
    """Connections to participants that have lost their seat at the signaling server.

    Each ends when its path is lost, for without signaling there can be no restart, or when the
    participant is back under its name and a connection to the new seat works. Before that the two
    ask each other whether they go on with it (:mod:`.going_on`).
    """

    def __init__(self) -> None:
        self._reasons: dict[RemotePeer, str] = {}

    def __iter__(self) -> Iterator[RemotePeer]:
        return iter([peer for peer in self._reasons if not peer.has_ended])

    def __contains__(self, peer: RemotePeer) -> bool:
        return peer in self._reasons

    def running(self, name: str) -> RemotePeer | None:
        """Return the connection that works with a participant of a name; ``None`` for none."""
        return next(
            (
                peer
                for peer in self
                if peer.name == name and peer.connection.connectionState == "connected"
            ),
            None,
        )

    def keep_or_end(self, peer: RemotePeer, reason: str) -> None:
        """Keep a connection if it works, or else end it.

        Args:
            peer: The peer whose participant has lost its seat.
            reason: What to end it with, now or later.
        """
        if peer.has_ended or peer.connection.connectionState != "connected":
            peer.end(reason)
            return
        peer.away = True
        self._reasons[peer] = reason

    def look(self, changed: RemotePeer) -> None:
        """Handle a change of the connection state of any peer."""
        state = changed.connection.connectionState
        if changed in self._reasons:
            if state == "failed":
                changed.end(self._reasons[changed])
        elif state == "connected":
            for peer in self:
                if peer.name == changed.name:
                    peer.end("rejoined")

    def forget(self, peer: RemotePeer) -> None:
        """Drop a peer that has ended."""
        self._reasons.pop(peer, None)
