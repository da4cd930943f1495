"""The report: what is measured anew takes the place of what was there."""

from tests.bench.report import Section, merge

REPORT = """\
# Benchmarks

Said before.

## One

old

| a |
| --- |
| 1 |

## Two

kept
"""


def section(title: str) -> Section:
    return Section(title, "new", ("a",), (("2",),))


def test_a_section_takes_the_place_of_its_namesake() -> None:
    merged = merge(REPORT, [section("One")])
    assert "old" not in merged
    assert merged.index("Said before") < merged.index("## One\n\nnew") < merged.index("## Two")
    assert merged.endswith("| 2 |\n\n## Two\n\nkept\n")


def test_a_new_section_goes_to_the_end() -> None:
    assert merge(REPORT, [section("Three")]) == REPORT + "\n" + section("Three").markdown()


def test_merging_the_same_again_changes_nothing() -> None:
    once = merge(REPORT, [section("Two"), section("Three")])
    assert merge(once, [section("Two"), section("Three")]) == once
