"""Decoding of JSON from another machine, in a time that its size bounds."""

import json
import math
import re
from itertools import islice
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_SLOW_NUMBER = re.compile(rb"[0-9.][eE]\+?0*[1-9][0-9]")
"""A number whose exponent has two digits. Of those from 23 on msgspec makes a float in up to ten
microseconds, thirty times as long as of others: a second for a message of a megabyte."""

_MAX_SLOW_NUMBERS = 256
"""Numbers of that kind that are left to msgspec: some milliseconds."""


def decode(text: bytes | str, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode a message as ``decoder.decode()`` does.

    The types of the decoder must not have :class:`msgspec.Raw`.

    Raises:
        msgspec.DecodeError: It is no JSON, or a number in it is out of range.
        msgspec.ValidationError: It is not of the decoder's type.
        UnicodeEncodeError: It is a text with half a surrogate pair.
        RecursionError: It is nested too deeply.
    """
    data = text.encode() if isinstance(text, str) else text
    if not _has_many_slow_numbers(data):
        return decoder.decode(data)
    try:
        found: Any = json.loads(data.decode(), parse_float=_finite, parse_constant=_refuse)
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from error
    converted: T = msgspec.convert(found, decoder.type)
    return converted


def _has_many_slow_numbers(data: bytes) -> bool:
    found = _SLOW_NUMBER.finditer(data)
    return next(islice(found, _MAX_SLOW_NUMBERS, None), None) is not None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("Number out of range")
    return number


def _refuse(_: str) -> float:
    raise ValueError("NaN and infinity are not JSON")
