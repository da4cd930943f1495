"""Loss on every path of the test run's own network namespace."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_TABLE = """
table inet loss {{
  counter lost {{ }}
  chain arriving {{
    type filter hook input priority 0;
    meta l4proto udp numgen random mod 1000 <= {most} counter name lost drop
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """The packets lost so far.

    Attributes:
        datagrams: How many; several that travel through the kernel as one count as one.
        bytes: How much, with the IP header.
    """

    datagrams: int
    bytes: int


@contextmanager
def losing(part: float) -> Iterator[Callable[[], Lost]]:
    """Let the kernel lose a part of all UDP datagrams until the end of the block.

    To be used in a namespace of one's own alone; it needs ``nft``.

    Args:
        part: 0.01 is one of a hundred, by chance; 1 is all of them.

    Yields:
        A function that tells what was lost; within the block.
    """
    _nft("-f", "-", stdin=_TABLE.format(most=round(part * 1000) - 1))
    try:
        yield _lost
    finally:
        _nft("delete", "table", "inet", "loss")


def _lost() -> Lost:
    told = json.loads(_nft("-j", "list", "counter", "inet", "loss", "lost"))["nftables"]
    counter = next(item["counter"] for item in told if "counter" in item)
    return Lost(counter["packets"], counter["bytes"])


def _nft(*arguments: str, stdin: str = "") -> str:
    return subprocess.run(
        ("nft", *arguments), input=stdin, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
