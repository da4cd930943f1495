"""Many connections of one process: icefloe beside plain aiortc and libwebrtc in Python.

Each part is a module of this package with a function ``run()`` that returns its section of the
report. It takes the stacks, and the numbers of connections if there are ``COUNTS``::

    python -m tests.bench.many                                  # all parts
    python -m tests.bench.many idle --stack icefloe --count 100
    python -m tests.bench.many idle --write                     # into docs/benchmarks.md

``wrtc`` is run if Python finds it, by ``pip install wrtc`` or in ``PYTHONPATH``.
"""

import argparse
import importlib
from importlib.util import find_spec
from types import ModuleType

from tests.bench.report import REPORT, machine, merge_text

PARTS = ("idle", "voice", "jitter")


def parts() -> dict[str, ModuleType]:
    """Return the parts that are there, by name."""
    names = {name: f"{__package__}.{name}" for name in PARTS}
    return {
        name: importlib.import_module(module)
        for name, module in names.items()
        if find_spec(module) is not None
    }


def main() -> None:
    """Run parts, and print or write their sections."""
    known = parts()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*known, []], help="all by default")
    parser.add_argument("--stack", action="append", help="repeat for several; all by default")
    parser.add_argument("--count", action="append", type=int, help="connections at a time")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    given = parser.parse_args()
    print(machine())
    for name in given.parts or known:
        module = known[name]
        counts = getattr(module, "COUNTS", None)
        stacks = given.stack or module.STACKS
        section = module.run(stacks, given.count or counts) if counts else module.run(stacks)
        print(section, flush=True)
        if given.write:
            REPORT.write_text(merge_text(REPORT.read_text(), section))


if __name__ == "__main__":
    main()
