"""SDP: parser for untrusted session descriptions, and normalisation for aiortc (RFC 8866).

:mod:`.lines`, :mod:`.transport`, :mod:`.media` and :mod:`.parser` parse a description, as leniently
as browsers do. :mod:`.plan` decides whether each media section is accepted, and writes the
accepted ones in the form that aiortc requires. :mod:`.layout` keeps track of the sections that are
hidden from aiortc. :mod:`.text` has helpers for descriptions that aiortc wrote.

No I/O.
"""

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
