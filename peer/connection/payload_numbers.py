"""Payload types and header extension ids that stay what they are (RFC 9429 section 5.2.2).

In one session a payload type may not come to mean another codec, nor an extension id another
extension: browsers refuse an offer that does. aiortc numbers every offer from its own table; here
an offer gets the numbers that the session has agreed on, and new things get free ones.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters

_DYNAMIC = (*range(96, 128), *range(35, 64))
"""Payload types without a fixed meaning: RFC 3551 section 6, then RFC 5761 section 4."""

_EXTENSION_IDS = range(1, 15)
"""Ids of the one-byte form (RFC 8285 section 4.2)."""

_CUSTOMARY_IDS = {
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level": 1,
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": 2,
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01": 3,
    "urn:ietf:params:rtp-hdrext:sdes:mid": 4,
}
"""Ids that Chromium and Safari give. What an offer of theirs gave to a media section they hold to,
also when the offer was rolled back because another one met it: under other ids that one is refused,
and there is neither its media nor theirs."""


class Numbering:
    """The numbers that one session uses."""

    def __init__(self) -> None:
        self._payload_types: dict[object, int] = {}
        self._extension_ids: dict[str, int] = {}
        self._proposed_payload_types: dict[object, int] = {}
        self._proposed_extension_ids: dict[str, int] = {}
        self._taken_payload_types: set[int] = set()
        self._taken_extension_ids: set[int] = set()
        self._meanings: dict[int, set[str]] = {}

    def learn(
        self,
        codecs: Iterable[RTCRtpCodecParameters],
        extensions: Iterable[RTCRtpHeaderExtensionParameters],
    ) -> None:
        """Record what was agreed on for a media section; the first number of a codec counts."""
        by_number = {payload_type(codec): codec for codec in codecs}
        by_id = {extension.id: extension for extension in extensions}
        self._forget_proposals()
        _learn(self._payload_types, {n: _identity(c, by_number) for n, c in by_number.items()})
        _learn(self._extension_ids, {number: x.uri for number, x in by_id.items()})
        self.reserve(by_number, by_id)
        self.note(by_id.values())

    def note(self, extensions: Iterable[RTCRtpHeaderExtensionParameters]) -> None:
        """Note what the other side may take ids for from now on: what it offers, or may offer."""
        for extension in extensions:
            self._meanings.setdefault(extension.id, set()).add(extension.uri)

    def is_certain(self, uri: str, id: int) -> bool:
        """Return whether an id can mean nothing but this extension to the remote peer.

        One that gives an id another meaning in the middle of a session, as plain aiortc does in
        each of its offers, reads packets by either meaning until long after the answer: aiortc's
        transport ends over a value that has another length.
        """
        return self._meanings.get(id, set()) <= {uri}

    def reserve(self, payload_types: Iterable[int], extension_ids: Iterable[int]) -> None:
        """Record what the remote peer uses for things that this side does not have."""
        self._forget_proposals()
        # A static payload type means one codec only: there is nothing to stay clear of.
        self._taken_payload_types.update(n for n in payload_types if n in _DYNAMIC)
        self._taken_extension_ids.update(extension_ids)

    def _forget_proposals(self) -> None:
        self._proposed_payload_types.clear()
        self._proposed_extension_ids.clear()

    def codecs(self, codecs: list[RTCRtpCodecParameters]) -> list[RTCRtpCodecParameters]:
        """Return copies of these codecs under the session's payload types.

        One for which no number is free is left out. All sections of an offer agree.
        """
        by_number = {payload_type(codec): codec for codec in codecs}
        proposed = self._proposed_payload_types
        used = self._taken_payload_types.union(proposed.values())
        renumbered: dict[int, int] = {}
        copies = []
        for was, codec in by_number.items():
            identity = _identity(codec, by_number)
            number = self._payload_types.get(identity, proposed.get(identity))
            if number is None:
                number = _choose(was, used, _DYNAMIC)
                if number is None:
                    continue
                proposed[identity] = number
            used.add(number)
            renumbered[was] = number
            parameters = dict(codec.parameters)
            copies.append(replace(codec, payloadType=number, parameters=parameters))
        for copy in copies:
            if is_rtx(copy):
                apt = copy.parameters.get("apt")
                copy.parameters["apt"] = renumbered.get(apt, apt)  # type: ignore[arg-type]
        return copies

    def extensions(
        self, extensions: list[RTCRtpHeaderExtensionParameters]
    ) -> list[RTCRtpHeaderExtensionParameters]:
        """Return copies of these header extensions under the session's ids; likewise."""
        proposed = self._proposed_extension_ids
        used = self._taken_extension_ids.union(proposed.values())
        copies = []
        for extension in extensions:
            number = self._extension_ids.get(extension.uri, proposed.get(extension.uri))
            if number is None:
                customary = _CUSTOMARY_IDS.get(extension.uri, extension.id)
                # The other side may give an id another meaning in an offer of its own.
                elsewhere = {n for n, uris in self._meanings.items() if uris - {extension.uri}}
                number = _choose(customary, used | elsewhere, _EXTENSION_IDS)
                if number is None:
                    continue
                proposed[extension.uri] = number
            used.add(number)
            copies.append(RTCRtpHeaderExtensionParameters(id=number, uri=extension.uri))
        return copies


def payload_type(codec: RTCRtpCodecParameters) -> int:
    """Return the payload type of a codec in a description, where every codec has one.

    Raises:
        ValueError: It has none.
    """
    if codec.payloadType is None:
        raise ValueError(f"{codec.mimeType} has no payload type")
    return codec.payloadType


def _identity(codec: RTCRtpCodecParameters, by_number: dict[int, RTCRtpCodecParameters]) -> object:
    """Return the identity of a codec within a session; for RTX, with the codec that it repairs."""
    repaired = by_number.get(codec.parameters.get("apt")) if is_rtx(codec) else None  # type: ignore[arg-type]
    if repaired is not None:
        return ("rtx", _identity(repaired, {}))
    parameters = tuple(sorted((name, str(value)) for name, value in codec.parameters.items()))
    return (codec.mimeType.lower(), codec.clockRate, codec.channels, parameters)


def _learn(known: dict[Any, int], seen: dict[int, Any]) -> None:
    numbers = set(known.values())
    for number, identity in seen.items():
        if identity not in known and number not in numbers:
            known[identity] = number
            numbers.add(number)


def _choose(wanted: int, used: set[int], pool: Iterable[int]) -> int | None:
    if wanted not in used:
        return wanted
    return next((number for number in pool if number not in used), None)
