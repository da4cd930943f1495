"""The mutator: seeds, damaged at random, some ten thousand a second and more.

The changes are those of AFL's havoc stage: bits and bytes flipped, numbers at their limits, parts
taken out, doubled, moved, cut off or spliced with another seed, and the tokens of the format.
"""

from collections.abc import Callable, Sequence
from random import Random

from .target import PACKETS, Target, join, split

LIMIT = 4096
"""Bytes that a mutation makes of an input at most; a longer seed may stay so."""

BYTES = (0, 1, 2, 3, 4, 16, 32, 64, 100, 127, 128, 254, 255)
NUMBERS = tuple(
    value.to_bytes(size)
    for size, high in ((2, 2**15), (4, 2**31), (8, 2**63))
    for value in (0, 1, 2**15 - 1, high - 1, high, 2 * high - 1)
)
_STACK = (1, 1, 1, 2, 2, 3, 4, 8)
_SIZES = (1, 1, 2, 4, 8, 16, 64)
_LONG = (100, 1000, LIMIT)


class Mutator:
    """Makes inputs out of others.

    Args:
        seeds: Inputs to begin with; where each is a sequence of packets, packets are changed, and
            the lengths before them stay right.
        tokens: The dictionary.
        seed: Of the random numbers; the same one makes the same inputs.
    """

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes], seed: int) -> None:
        self._seeds = list(seeds) or [b""]
        self._tokens = [*tokens, *NUMBERS]
        random = Random(seed)
        self._random = random.random
        self._bytes = random.randbytes
        self._changes: tuple[Callable[[bytearray, int], object], ...] = (
            self._flip,
            self._set,
            self._set,
            self._add,
            self._remove,
            self._remove,
            self._insert,
            self._copy,
            self._double,
            self._overwrite,
            self._overwrite,
            self._put_in,
            self._put_in,
            self._cut,
            self._splice,
            self._repeat,
        )
        self._packets = bool(seeds) and all(seed and join(split(seed)) == seed for seed in seeds)
        self.next: Callable[[], bytes] = self._sequence if self._packets else self._single
        """Makes an input."""

    def _below(self, limit: int) -> int:
        return int(self._random() * limit)

    def _of(self, choices: Sequence[int]) -> int:
        return choices[int(self._random() * len(choices))]

    def _seed(self) -> bytes:
        return self._seeds[int(self._random() * len(self._seeds))]

    def _single(self) -> bytes:
        return bytes(self._changed(self._seed()))

    def _sequence(self) -> bytes:
        packets = split(self._seed())
        for _ in range(self._of(_STACK)):
            at = self._below(len(packets))
            match self._below(10):
                case 0 if len(packets) > 1:
                    del packets[at]
                case 1 if len(packets) < PACKETS:
                    packets.insert(self._below(len(packets) + 1), packets[at])
                case 2:
                    other = self._below(len(packets))
                    packets[at], packets[other] = packets[other], packets[at]
                case 3:
                    others = split(self._seed())
                    packets[at:] = others[self._below(len(others)) :]
                case _:
                    packets[at] = bytes(self._changed(packets[at]))
        return join(packet[:65535] for packet in packets[:PACKETS])

    def _changed(self, data: bytes) -> bytearray:
        changed = bytearray(data)
        for _ in range(self._of(_STACK)):
            if not changed:
                changed += self._bytes(4)
            at = self._below(len(changed))
            self._changes[self._below(len(self._changes))](changed, at)
        del changed[max(LIMIT, len(data)) :]
        return changed

    def _flip(self, data: bytearray, at: int) -> None:
        data[at] ^= 1 << self._below(8)

    def _set(self, data: bytearray, at: int) -> None:
        data[at] = self._of(BYTES) if self._random() < 0.5 else self._below(256)

    def _add(self, data: bytearray, at: int) -> None:
        data[at] = (data[at] + self._below(9) - 4) % 256

    def _remove(self, data: bytearray, at: int) -> None:
        del data[at : at + self._of(_SIZES)]

    def _insert(self, data: bytearray, at: int) -> None:
        data[at:at] = self._bytes(self._of(_SIZES))

    def _copy(self, data: bytearray, at: int) -> None:
        source, size = self._below(len(data)), self._of(_SIZES)
        data[at : at + size] = data[source : source + size]

    def _double(self, data: bytearray, at: int) -> None:
        source, size = self._below(len(data)), self._of(_SIZES)
        data[at:at] = data[source : source + size]

    def _token(self) -> bytes:
        return self._tokens[int(self._random() * len(self._tokens))]

    def _overwrite(self, data: bytearray, at: int) -> None:
        token = self._token()
        data[at : at + len(token)] = token

    def _put_in(self, data: bytearray, at: int) -> None:
        data[at:at] = self._token()

    def _cut(self, data: bytearray, at: int) -> None:
        del data[at:]

    def _splice(self, data: bytearray, at: int) -> None:
        other = self._seed()
        data[at:] = other[self._below(len(other) + 1) :]

    def _repeat(self, data: bytearray, at: int) -> None:
        # Rarely: what costs more than its length shows in what is long.
        if self._random() < 0.1:
            piece = data[at : at + self._of((1, 1, 4, 16))]
            data[at:at] = bytes(piece) * (self._of(_LONG) // max(1, len(piece)))


def mutator(target: Target, more: Sequence[bytes], seed: int) -> Mutator:
    """Make the mutator of a target.

    Args:
        target: The target.
        more: Inputs besides its seeds; long ones are left out, since to copy them takes too long.
        seed: Of the random numbers.
    """
    short = [data for data in more if len(data) <= 2 * LIMIT]
    return Mutator([*target.seeds(), *short], target.tokens, seed)


def dictionary(target: Target) -> bytes:
    """Write the tokens as a dictionary of libFuzzer."""
    lines = ("".join(f"\\x{byte:02x}" for byte in token) for token in target.tokens if token)
    return "".join(f'"{line}"\n' for line in lines).encode()
