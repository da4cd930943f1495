"""The limits of a signaling server, in one table: flags, environment variables and metrics.

The command makes a flag and an environment variable of each row, and ``/metrics`` a gauge. The
module imports nothing of icefloe: the command reads it before it knows that there will be a server.
"""

from dataclasses import dataclass
from operator import attrgetter


@dataclass(frozen=True, slots=True)
class ServerLimit:
    """One limit of a signaling server.

    Attributes:
        field: The field of ``ServerConfiguration``, as ``limits.address.sockets``.
        default: The value of the command without the flag.
        least: The smallest value of the flag.
        most: The largest.
        help: The help of the flag; empty if there is no flag, because only a program can use it.
        unit: What the flag counts, as its help names it.
        may_be_off: Whether 0 is no limit.
    """

    field: str
    default: float
    least: float
    most: float
    help: str
    unit: str = "NUMBER"
    may_be_off: bool = False

    @property
    def name(self) -> str:
        """The name in metrics, as ``address_sockets``."""
        return self.field.removeprefix("limits.").replace(".", "_")

    @property
    def flag(self) -> str:
        """The flag, as ``--address-sockets``."""
        return f"--{self.name.replace('_', '-')}"

    def value_in(self, configuration: object) -> float:
        """Return the value in a ``ServerConfiguration``; infinite if there is no limit."""
        value = attrgetter(self.field)(configuration)
        return float("inf") if value is None else value


_DAY = 86_400.0

SERVER_LIMITS = (
    ServerLimit("connections", 1000, 1, 1_000_000, "WebSockets at a time."),
    ServerLimit("limits.rooms", 1000, 1, 1_000_000, "Rooms at a time."),
    ServerLimit("limits.members", 32, 1, 10_000, "Participants of one room."),
    ServerLimit(
        "limits.address.sockets",
        200,
        0,
        1_000_000,
        "TCP connections of one client address; 0 is no limit, here and in the next three.",
        may_be_off=True,
    ),
    ServerLimit(
        "limits.address.seats",
        200,
        0,
        1_000_000,
        "Participants of one client address.",
        may_be_off=True,
    ),
    ServerLimit(
        "limits.address.rooms",
        100,
        0,
        1_000_000,
        "Rooms that one client address was the first to enter.",
        may_be_off=True,
    ),
    ServerLimit(
        "limits.address.joins",
        600,
        0,
        1_000_000,
        "Joins of one client address in a minute.",
        may_be_off=True,
    ),
    ServerLimit(
        "limits.away_seconds",
        30.0,
        0.1,
        _DAY,
        "Seconds for which a seat is kept without a connection.",
        "SECONDS",
    ),
    ServerLimit(
        "limits.join_seconds",
        10.0,
        0.1,
        3600.0,
        "Seconds that a new connection has to join.",
        "SECONDS",
    ),
    ServerLimit(
        "limits.name_seconds",
        1.0,
        0.1,
        3600.0,
        "Seconds that a newcomer waits for the name of a participant that is away.",
        "SECONDS",
    ),
    ServerLimit(
        "rate",
        30.0,
        0.1,
        1_000_000.0,
        "Messages in a second that a connection may send on average.",
    ),
    ServerLimit("burst", 300.0, 1.0, 1_000_000.0, "Messages that a connection may send at once."),
    ServerLimit(
        "ping_interval", 20.0, 0.1, 3600.0, "Seconds between the pings to a client.", "SECONDS"
    ),
    ServerLimit(
        "ping_timeout",
        40.0,
        0.1,
        3600.0,
        "Seconds to wait for the answer to a ping.",
        "SECONDS",
    ),
    ServerLimit(
        "shutdown_timeout",
        1.0,
        0.1,
        60.0,
        "Seconds that closing the connections may take in the end.",
        "SECONDS",
    ),
    ServerLimit(
        "drain_seconds",
        2.0,
        0.0,
        600.0,
        "Seconds over which clients are sent to the next server on SIGTERM.",
        "SECONDS",
    ),
    ServerLimit("admit_timeout", 5.0, 0.1, 3600.0, ""),
    ServerLimit("admits_at_once", 32, 1, 1_000_000, ""),
    ServerLimit("ice_provider_timeout", 3.0, 0.1, 9.0, ""),
)
"""All limits of a server, in the order of the help."""

FLAGS = tuple(limit for limit in SERVER_LIMITS if limit.help)
"""Those that have a flag."""
