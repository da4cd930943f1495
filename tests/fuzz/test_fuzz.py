"""The short run: each target with its corpus, its seeds and some hundred mutations."""

import pytest

from . import corpus, memory
from .mutator import mutator
from .oracle import LIMIT, watched
from .target import load, names

INPUTS = 250
"""Mutations of each target."""

SLOW_MACHINE = 5
"""Times the limit of the long run: a machine for tests may be slow, and what costs more than its
size does so by more than that."""

LEAK = 2048
"""Bytes that an input may leave behind for good; some hundred are the interpreter's own free lists,
and an object that is kept of a connection has ten times as many."""

ROUND = 4
"""Inputs that are run again and again to see what they leave behind."""


@pytest.mark.parametrize("name", names())
def test_no_input_does_harm(name: str) -> None:
    target = load(name)
    kept = list(corpus.load(name).values())
    make = mutator(target, kept, seed=1).next
    with watched(target, LIMIT * SLOW_MACHINE) as oracle:
        inputs = [*target.seeds(), *kept, *(make() for _ in range(INPUTS))]
        findings = [finding for data in inputs if (finding := oracle.check(data))]
        findings += [late] if (late := oracle.late()) else []
    assert [(f.kind, f.reason, f.place, f.data) for f in findings] == []
    assert oracle.outcomes["ok"] > 0


@pytest.mark.parametrize("name", names())
def test_inputs_leave_nothing_behind(name: str) -> None:
    target = load(name)
    kept = list(corpus.load(name).values())
    make = mutator(target, kept, seed=2).next
    with watched(target) as oracle:
        seeds = target.seeds()
        some = [*seeds[:: max(1, len(seeds) // ROUND)][:ROUND], *(make() for _ in range(ROUND))]
        assert memory.left_behind(oracle.run, some) < LEAK


@pytest.mark.parametrize("name", names())
def test_a_target_is_named_as_its_file(name: str) -> None:
    assert load(name).name == name


def test_the_corpus_is_of_targets_that_there_are() -> None:
    folders = {path.name for path in corpus.FOLDER.iterdir()}
    assert folders <= set(names())
    for name in folders:
        for file in corpus.load(name):
            assert (corpus.FOLDER / name / file).with_suffix(".txt").exists()
