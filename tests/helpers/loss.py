"""Loss on every path of the test run's own network namespace."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_TABLE = """
table inet loss {{
  counter lost {{ }}
  chain arriving {{
    type filter hook input priority 0;
    meta l4proto udp numgen random mod 1000 < {permille} counter name lost drop
  }}
}}
"""


@dataclass(slots=True)
class Loss:
    """What was lost; counted when the block ends.

    Attributes:
        datagrams: How many.
    """

    datagrams: int = 0


@contextmanager
def losing(part: float) -> Iterator[Loss]:
    """Let the kernel lose a part of all UDP datagrams until the end of the block.

    To be used in a namespace of one's own alone; it needs ``nft``.

    Args:
        part: 0.01 is one of a hundred, by chance.
    """
    _nft("-f", "-", stdin=_TABLE.format(permille=round(part * 1000)))
    loss = Loss()
    try:
        yield loss
    finally:
        told = json.loads(_nft("-j", "list", "counter", "inet", "loss", "lost"))
        loss.datagrams = next(
            item["counter"]["packets"] for item in told["nftables"] if "counter" in item
        )
        _nft("delete", "table", "inet", "loss")


def _nft(*arguments: str, stdin: str = "") -> str:
    return subprocess.run(
        ("nft", *arguments), input=stdin, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
