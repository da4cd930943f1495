"""Demo of many processes: one signaling server, and workers with a bot in each room.

::

    python -m icefloe.demos.fleet --workers 4 --udp-port 7000

Open the page in any number of rooms: the first participant of a room brings a bot into it, in the
worker that :mod:`.assignment` chooses. ``kill -TERM`` of a worker lets its calls go on for a while,
then another worker takes its rooms, and a new one takes its place.
"""

from .assignment import Assignment, owner
from .runner import Fleet, FleetSettings

__all__ = ["Assignment", "Fleet", "FleetSettings", "owner"]
