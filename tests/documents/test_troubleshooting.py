"""Each cause of a verdict has a section in docs/troubleshooting.md, in the part of its phase."""

import re

import pytest

from icefloe.peer import ConnectPhase, VerdictCause
from icefloe.peer.diagnosis.advice import PHASE_OF
from tests.documents.blocks import DOCS

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
PARTS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]


def sections(part: str) -> dict[str, str]:
    """Return the sections of a part of the page that are about a cause, by the cause."""
    found = re.split(r"^### `([\w-]+)`$", part, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_each_cause_has_one_section_and_each_section_a_cause() -> None:
    names = [name for part in PARTS for name in sections(part)]
    assert sorted(names) == sorted(VerdictCause)


@pytest.mark.parametrize("cause", VerdictCause)
def test_a_section_says_what_it_means_how_to_confirm_it_and_how_to_cure_it(
    cause: VerdictCause,
) -> None:
    (part,) = (part for part in PARTS if f"### `{cause}`\n" in part)
    phase = PHASE_OF.get(cause)
    assert part.startswith(f"It stopped at `{phase}`\n" if phase else "Nothing stopped\n")
    means, _, rest = sections(part)[cause].partition("- **Confirm:** ")
    confirm, _, cure = rest.partition("- **Cure:** ")
    assert means.strip() and confirm.strip() and cure.strip()


def test_there_is_a_part_for_each_phase_in_their_order() -> None:
    told = re.findall(r"^## It stopped at `([\w-]+)`$", PAGE, flags=re.MULTILINE)
    assert told == list(ConnectPhase)
