"""Prints the figures of all cases: ``python -m tests.peer.rtp.congestion.table [WORD ...]``."""

import sys
import time

from tests.peer.rtp.congestion.cases import CASES


def main(words: list[str]) -> None:
    for name, case in CASES.items():
        if words and not any(word in name for word in words):
            continue
        begun = time.process_time()
        figures = case()
        took = time.process_time() - begun
        shown = ", ".join(f"{what} {value:.3g}" for what, value in figures.items())
        sys.stdout.write(f"| {name} | {shown} | {took:.2f} s |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
