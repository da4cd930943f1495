"""The documentation's statements about aiortc's own tests."""

import re
from pathlib import Path

from .aiortc_suite import DIFFERENCES

PAGE = Path(__file__).parents[2] / "docs" / "aiortc.md"


def test_each_test_that_does_not_pass_is_documented_with_its_reason() -> None:
    rows = dict(re.findall(r"^\| `(test_\w+)` \| (.+?) \|$", PAGE.read_text(), re.MULTILINE))
    assert rows == DIFFERENCES
