"""Payload types and header extension ids that stay what they are (RFC 9429 section 5.2.2).

In one session a payload type may not come to mean another codec, nor an extension id another
extension: browsers refuse an offer that does. aiortc numbers every offer from its own table; here
an offer gets the numbers that the session has agreed on, and new things get free ones.
"""

from collections.abc import Iterable
from copy import deepcopy

from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters

_DYNAMIC = (*range(96, 128), *range(35, 64))
"""Payload types without a fixed meaning: RFC 3551 section 6, then RFC 5761 section 4."""

_EXTENSION_IDS = range(1, 15)
"""Ids of the one-byte form (RFC 8285 section 4.2)."""


class Numbering:
    """The numbers that one session uses."""

    def __init__(self) -> None:
        self._payload_types: dict[object, int] = {}
        self._extension_ids: dict[str, int] = {}
        self._taken_payload_types: set[int] = set()
        self._taken_extension_ids: set[int] = set()

    def learn(
        self,
        codecs: Iterable[RTCRtpCodecParameters],
        extensions: Iterable[RTCRtpHeaderExtensionParameters],
    ) -> None:
        """Note what was agreed on for a media section; the first number of a codec counts."""
        by_number = {payload_type(codec): codec for codec in codecs}
        for number, codec in by_number.items():
            self._payload_types.setdefault(_identity(codec, by_number), number)
        for extension in extensions:
            self._extension_ids.setdefault(extension.uri, extension.id)
        self.reserve(by_number, (extension.id for extension in extensions))

    def reserve(self, payload_types: Iterable[int], extension_ids: Iterable[int]) -> None:
        """Note what the other side uses for things that this side does not have."""
        self._taken_payload_types.update(payload_types)
        self._taken_extension_ids.update(extension_ids)

    def codecs(self, codecs: list[RTCRtpCodecParameters]) -> list[RTCRtpCodecParameters]:
        """Return copies of these codecs under the session's payload types."""
        by_number = {payload_type(codec): codec for codec in codecs}
        used = set(self._taken_payload_types)
        renumbered: dict[int, int] = {}
        copies = []
        for was, codec in by_number.items():
            number = self._payload_types.get(_identity(codec, by_number))
            if number is None:
                number = _choose(was, used, _DYNAMIC)
            used.add(number)
            renumbered[was] = number
            copy = deepcopy(codec)
            copy.payloadType = number
            copies.append(copy)
        for copy in copies:
            if is_rtx(copy):
                apt = copy.parameters.get("apt")
                copy.parameters["apt"] = renumbered.get(apt, apt)  # type: ignore[arg-type]
        return copies

    def extensions(
        self, extensions: list[RTCRtpHeaderExtensionParameters]
    ) -> list[RTCRtpHeaderExtensionParameters]:
        """Return copies of these header extensions under the session's ids."""
        used = set(self._taken_extension_ids)
        copies = []
        for extension in extensions:
            number = self._extension_ids.get(extension.uri)
            if number is None:
                number = _choose(extension.id, used, _EXTENSION_IDS)
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
    """What makes two codecs of a session the same one; for RTX, what it repairs."""
    if is_rtx(codec):
        repaired = by_number.get(codec.parameters.get("apt"))  # type: ignore[arg-type]
        return ("rtx", _identity(repaired, {}) if repaired is not None else codec.parameters)
    parameters = tuple(sorted((name, str(value)) for name, value in codec.parameters.items()))
    return (codec.mimeType.lower(), codec.clockRate, codec.channels, parameters)


def _choose(wanted: int, used: set[int], pool: Iterable[int]) -> int:
    if wanted not in used:
        return wanted
    return next((number for number in pool if number not in used), wanted)
