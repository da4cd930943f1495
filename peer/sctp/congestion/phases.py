"""Phases of the model-based congestion control, and their pacing gains."""

from enum import StrEnum
from types import MappingProxyType

STARTUP_GAIN = 2.77
"""Pacing gain that doubles the data in flight each round trip (draft-ietf-ccwg-bbr section 2.4)."""

CRUISE_GAIN = 0.98
"""Slightly below 1, because the maximum of many rate samples is slightly too high."""
DRAIN_GAIN = 0.5
PROBE_GAIN = 1.25
RELAX_GAIN = 0.85


class Phase(StrEnum):
    """Phases of the controller."""

    STARTUP = "startup"
    DRAIN = "drain"
    CRUISE = "cruise"
    PROBE = "probe"
    RELAX = "relax"
    PROBE_RTT = "probe rtt"
    COMPETE = "compete"


GAINS = MappingProxyType(
    {
        Phase.STARTUP: STARTUP_GAIN,
        Phase.DRAIN: DRAIN_GAIN,
        Phase.CRUISE: CRUISE_GAIN,
        Phase.PROBE: PROBE_GAIN,
        Phase.RELAX: RELAX_GAIN,
        Phase.PROBE_RTT: 1.0,
        Phase.COMPETE: 1.0,
    }
)
"""Pacing rate divided by the estimated bandwidth, by phase."""
