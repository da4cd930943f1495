"""The report on connecting with a peer: the time of each phase and the path, or where it failed.

The signaling server counts reports for its metrics. They have no names and no addresses.
"""

import asyncio
from collections.abc import Callable

from icefloe.signaling import Report, ReportPath, ReportPhase
from icefloe.signaling.messages import LONGEST_REPORT_SECONDS

from ..connection.candidates import RTCIceCandidatePair
from ..connection.connection import PeerConnection
from ..errors import ConnectPhase


class ConnectWatch:
    """Watches how a connection comes about, and makes one report.

    Args:
        connection: The connection, at its begin.
        report: Takes the report, once.
    """

    def __init__(self, connection: PeerConnection, report: Callable[[Report], object]) -> None:
        self._connection = connection
        self._report = report
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._ends: dict[ReportPhase, float] = {}
        self._is_done = False
        connection.on("signalingstatechange", self._look)
        connection.on("iceconnectionstatechange", self._look)
        connection.on("connectionstatechange", self._look)

    def failed(self, phase: ConnectPhase) -> None:
        """Report that the connection could not be established; a second report is not made."""
        self._finish(Report(phase=ReportPhase(phase.value)))

    def _look(self) -> None:
        if self._is_done:
            return
        connection = self._connection
        if connection.remoteDescription is not None:
            self._ends.setdefault(ReportPhase.SIGNALING, self._now())
        if connection.iceConnectionState in ("connected", "completed"):
            self._ends.setdefault(ReportPhase.CHECKS, self._now())
        if connection.connectionState == "connected":
            self._ends.setdefault(ReportPhase.DTLS, self._now())
            pair = connection.selected_candidate_pair
            if pair is not None:
                self._finish(Report(path=path_of(pair), seconds=self._seconds()))

    def _seconds(self) -> dict[ReportPhase, float]:
        seconds, before = {}, self._began
        for phase in (ReportPhase.SIGNALING, ReportPhase.CHECKS, ReportPhase.DTLS):
            end = max(self._ends.get(phase, before), before)
            seconds[phase] = end - before
            before = end
        seconds[ReportPhase.TOTAL] = before - self._began
        return {
            phase: min(round(value, 3), LONGEST_REPORT_SECONDS) for phase, value in seconds.items()
        }

    def _finish(self, report: Report) -> None:
        if not self._is_done:
            self._is_done = True
            self._report(report)


def path_of(pair: RTCIceCandidatePair) -> ReportPath:
    """Return the kind of a candidate pair, by the end that is further from the other."""
    ends = {pair.local.type, pair.remote.type}
    if "relay" in ends:
        return ReportPath.RELAY
    if pair.local.protocol == "tcp":
        return ReportPath.TCP
    if "srflx" in ends:
        return ReportPath.SRFLX
    return ReportPath.PRFLX if "prflx" in ends else ReportPath.HOST
