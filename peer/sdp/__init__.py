"""SDP: the one place where a description from outside is read.

:mod:`.lines`, :mod:`.transport`, :mod:`.media` and :mod:`.parser` read a text by the grammar
(RFC 8866) and by what browsers take; :mod:`.plan` decides what becomes of each media section, and
writes those that can be used in a form that aiortc reads without stumbling. :mod:`.layout` has the
sections that aiortc is never shown, and :mod:`.text` what is looked up in descriptions of ours.

Nothing here does I/O.
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
