"""SDP: parser for untrusted session descriptions, and normalisation for aiortc (RFC 8866).

:mod:`.lines`, :mod:`.transport`, :mod:`.media` and :mod:`.parser` parse a description, as leniently
as browsers do. :mod:`.plan` decides whether each media section is accepted, and writes the
accepted ones in the form that aiortc requires. :mod:`.layout` keeps track of the sections that are
hidden from aiortc. :mod:`.text` has helpers for descriptions that aiortc wrote.

No I/O.
"""

from typing import TYPE_CHECKING

from icefloe._util.lazy import exports

if TYPE_CHECKING:
    from .layout import Layout, Slot
    from .lines import LIMIT, SECTIONS
    from .parser import Description, Section, SectionCandidates, read, reading
    from .plan import Offered, Plan, plan_answer, plan_offer
    from .text import TRICKLE, fragments, fragments_by_mid, join, mids, sections_of, without_end
    from .transport import Transport

__all__ = [
    "LIMIT",
    "SECTIONS",
    "TRICKLE",
    "Description",
    "Layout",
    "Offered",
    "Plan",
    "Section",
    "SectionCandidates",
    "Slot",
    "Transport",
    "fragments",
    "fragments_by_mid",
    "join",
    "mids",
    "plan_answer",
    "plan_offer",
    "read",
    "reading",
    "sections_of",
    "without_end",
]

# The parser is loaded with the first description.
_MODULES = {
    ".layout": ("Layout", "Slot"),
    ".lines": ("LIMIT", "SECTIONS"),
    ".parser": ("Description", "Section", "SectionCandidates", "read", "reading"),
    ".plan": ("Offered", "Plan", "plan_answer", "plan_offer"),
    ".text": (
        "TRICKLE",
        "fragments",
        "fragments_by_mid",
        "join",
        "mids",
        "sections_of",
        "without_end",
    ),
    ".transport": ("Transport",),
}

if not TYPE_CHECKING:  # which would take any name for one of the package
    __getattr__, __dir__ = exports(__name__, _MODULES)
