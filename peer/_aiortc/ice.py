"""ICE transports and gatherers over an agent of icefloe's."""

import asyncio
from dataclasses import replace
from typing import Any

from aioice.mdns import is_mdns_hostname
from aiortc import RTCIceCandidate, RTCIceGatherer, RTCIceParameters, RTCIceTransport


class _Candidates(list[RTCIceCandidate]):
    """Candidates of which the one at index 0 is the default candidate of RFC 8839.

    aiortc writes its address into the ``c=`` line, which takes no mDNS name: where all are names,
    that is the address and port that stand for none.
    """

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if index == 0 and is_mdns_hostname(found.ip):
            return replace(found, ip="0.0.0.0", port=9)
        return found


class Gatherer(RTCIceGatherer):
    """``RTCIceGatherer`` that is complete when the agent says so, not when ``gather()`` returns."""

    _connection: Any
    _state = "new"

    @property
    def state(self) -> str:
        return self._state

    async def gather(self) -> None:
        if self._connection.wants_to_gather:
            self._enter("gathering")
            await self._connection.gather_candidates()

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        found = super().getLocalCandidates()
        return _Candidates(sorted(found, key=lambda candidate: is_mdns_hostname(candidate.ip)))

    def finish(self) -> None:
        """Record that no further candidate will come."""
        if self._state == "gathering":
            self._enter("completed")

    def _enter(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self.emit("statechange")


class IceTransport(RTCIceTransport):
    """``RTCIceTransport`` whose states are the agent's, and which can be started again.

    aiortc's knows neither ``disconnected`` nor a restart, and is over once its path is lost.
    """

    _connection: Any

    @property
    def state(self) -> str:
        return str(self._connection.state)

    def begin(self, remote: RTCIceParameters) -> None:
        """Begin to check with the remote peer's credentials; those in use change nothing."""
        username, password = str(remote.usernameFragment), str(remote.password)
        self._connection.start(username, password, lite=remote.iceLite)

    async def start(self, remoteParameters: RTCIceParameters) -> None:
        self.begin(remoteParameters)
        await self._connection.usable()

    async def stop(self) -> None:
        if self.state == "closed":
            await self._connection.close()
            return
        closing = asyncio.ensure_future(self._connection.close())
        # The agent is closed once its task has begun; who listens is told then, as by aiortc.
        await asyncio.sleep(0)
        self.emit("statechange")
        self.iceGatherer.remove_all_listeners()
        self.remove_all_listeners()
        await closing

    async def addRemoteCandidate(self, candidate: RTCIceCandidate | None) -> None:
        self._connection.add_remote_candidate(candidate)

    def getRemoteCandidates(self) -> list[RTCIceCandidate]:
        return [replace(candidate) for candidate in self._connection.remote_candidates]


def agent_of(ice: RTCIceTransport) -> Any:
    """Return the ICE agent behind a transport."""
    return ice._connection
