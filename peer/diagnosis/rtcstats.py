"""Dump of a timeline in the format of RTCStats, version 3.

https://github.com/rtcstats/rtcstats, "RTCStats dump file format": a line ``RTCStatsDump``, a line
with metadata, and one JSON array for each event: name, connection, value, and the milliseconds
since the event before.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..ice.events import ServerAsked
from .events import (
    CandidateReceived,
    CandidateSent,
    ConnectionClosed,
    DescriptionApplied,
    StateChanged,
)
from .json_values import event_name, plain
from .redaction import Redactor

if TYPE_CHECKING:
    from ..ice.facts import CandidateFacts
    from .timeline import TimelineEntry

_STATES = {
    "connection": "onconnectionstatechange",
    "ice-connection": "oniceconnectionstatechange",
    "ice-gathering": "onicegatheringstatechange",
    "signaling": "onsignalingstatechange",
}


def dump(
    entries: Sequence["TimelineEntry"],
    redactor: Redactor | None,
    *,
    name: str,
    user_agent: str,
) -> str:
    """Return the dump of a connection.

    Args:
        entries: Its timeline.
        redactor: Replaces addresses; ``None`` leaves them.
        name: The name of the connection.
        user_agent: The name of the program.
    """
    began = round(entries[0].wall * 1000) if entries else 0
    metadata = {
        "fileFormat": 3,
        "userAgent": user_agent,
        "startTime": began,
        "url": "/",
        "origin": "",
        "clientProtocol": "icefloe",
    }
    first = [json.dumps(metadata, separators=(",", ":"))]
    lines: list[list[Any]] = [["create", name, {}, began]]
    before = float(began)
    for entry in entries:
        now = round(entries[0].wall * 1000) + (entry.at - entries[0].at) * 1000
        kind, value = _as_call(entry)
        value = redactor.value(value) if redactor is not None else value
        lines.append([kind, name, value, round(now - before, 3)])
        before = now
    texts = [json.dumps(line, ensure_ascii=True, separators=(",", ":")) for line in lines]
    return "".join(f"{line}\n" for line in ("RTCStatsDump", *first, *texts))


def _as_call(entry: "TimelineEntry") -> tuple[str, Any]:
    """Return the name of the call or event of ``RTCPeerConnection``, and its value."""
    event = entry.event
    match event:
        case DescriptionApplied():
            value = {"type": event.kind, "sdp": _skeleton(event)}
            return f"set{event.side.capitalize()}Description", value
        case CandidateSent(candidate=candidate, mid=mid):
            return "onicecandidate", _candidate(candidate, mid)
        case CandidateReceived(candidate=candidate, mid=mid):
            return "addIceCandidate", _candidate(candidate, mid)
        case StateChanged(of=of, state=state) if of in _STATES:
            return _STATES[of], state
        case ServerAsked(server=server) if server.problem is not None:
            told = {"url": server.url, "errorCode": server.code, "errorText": server.text}
            return "onicecandidateerror", told
        case ConnectionClosed():
            return "close", None
    return f"icefloe.{event_name(type(event))}", plain(event)


def _skeleton(event: DescriptionApplied) -> str:
    """Return the lines of a description that say which media sections it has."""
    lines = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    for section in event.sections:
        kind, mid, *rejected = section.split(" ")
        protocol = "UDP/DTLS/SCTP" if kind == "application" else "UDP/TLS/RTP/SAVPF"
        lines += [f"m={kind} {0 if rejected else 9} {protocol} 0", f"a=mid:{mid}"]
    return "".join(f"{line}\r\n" for line in lines)


def _candidate(candidate: "CandidateFacts | None", mid: str | None) -> dict[str, Any] | None:
    if candidate is None:
        return None
    related = ""
    if candidate.related is not None:
        related = f" raddr {candidate.related[0]} rport {candidate.related[1]}"
    text = (
        f"candidate:0 1 {candidate.protocol} 0 {candidate.address} {candidate.port} "
        f"typ {candidate.type}{related}"
    )
    return {"candidate": text, "sdpMid": mid}
