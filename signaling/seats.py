"""Rooms, the seats of participants in them, and the secrets that resume seats. No I/O."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from msgspec import UNSET, UnsetType

from .configuration import Admission, Limits
from .errors import ErrorCode
from .messages import Joined, May, PeerInfo
from .outbox import Budget, Outbox
from .quotas import Tally, network_of
from .rights import GUEST_RIGHTS, Right, shown_rights

_NAME_LIMIT = 64  # characters


@dataclass(eq=False, slots=True)
class Seat:
    """A participant's place in a room, which survives the loss of its connection for a while.

    Attributes:
        id: The id of the participant.
        name: Its name, unique in the room.
        room: The room.
        token: The secret that resumes the seat.
        connection: The number of its connection; ``None`` while the participant is away.
        address: The IP address of its last connection; empty if unknown.
        outbox: Messages for the participant that are kept.
        previous_token: The secret that the last resume used, until the client has shown that it
            received the new one.
        received: The number of the last message from the participant.
        rights: What it may do.
        token_id: The id of the token that it came with; empty for none.
        token_until: The time at which that token expires, in seconds on the monotonic clock.
        reports: The number of reports that it has made.
    """

    id: str
    name: str
    room: "Room"
    token: str = field(repr=False)
    connection: int | None
    address: str
    outbox: Outbox
    previous_token: str | None = field(default=None, repr=False)
    received: int = 0
    rights: frozenset[Right] = GUEST_RIGHTS
    token_id: str = field(default="", repr=False)
    token_until: float = 0.0
    reports: int = 0

    @property
    def info(self) -> PeerInfo:
        """The participant as other clients are told of it."""
        return PeerInfo(self.id, self.name, away=self.connection is None, may=self.may)

    @property
    def may(self) -> May:
        """Its rights as messages name them."""
        shown = shown_rights(self.rights)
        return UNSET if shown is None else shown

    def joined(
        self,
        admission: Admission,
        *,
        asked: str,
        ack: int | UnsetType = UNSET,
        takes_reports: bool = False,
    ) -> Joined:
        """Return the message that tells a client that it has this seat.

        Args:
            admission: The ICE servers for the client.
            asked: The name that the client asked for.
            ack: After a resume, the number of the last message received from the client.
            takes_reports: Whether the client is to report how connecting with its peers went.
        """
        return Joined(
            self.id,
            [other.info for other in self.room.others(self)],
            self.token,
            list(admission.ice_servers),
            UNSET if admission.expires is None else admission.expires,
            ack,
            UNSET if self.name == asked else self.name,
            self.may,
            True if takes_reports else UNSET,
        )


@dataclass(eq=False, slots=True)
class Room:
    """A room and its seats.

    Attributes:
        name: The name of the room.
        founder: The network of the first participant, which the room is counted against.
        seats: The seats by id, in the order of arrival.
        is_locked: Whether only moderators may enter.
    """

    name: str
    founder: str
    seats: dict[str, Seat] = field(default_factory=dict)
    is_locked: bool = False

    @property
    def heir(self) -> Seat | None:
        """The participant that has been there longest, and is not away if there is such a one."""
        present = (seat for seat in self.seats.values() if seat.connection is not None)
        return next(present, None) or next(iter(self.seats.values()), None)

    @property
    def is_moderated(self) -> bool:
        """True if a participant may moderate."""
        return any(Right.MODERATE in seat.rights for seat in self.seats.values())

    def others(self, seat: Seat) -> Iterable[Seat]:
        """Return all seats but one."""
        return (other for other in self.seats.values() if other is not seat)

    def named(self, name: str) -> Seat | None:
        """Return the seat of the participant with a name."""
        return next((seat for seat in self.seats.values() if seat.name == name), None)

    def free_name(self, name: str) -> str:
        """Return the name, or the first free one of ``name-2``, ``name-3`` etc., if it is taken."""
        taken = {seat.name for seat in self.seats.values()}
        numbers = (f"-{number}" for number in itertools.count(2))
        numbered = (f"{name[: _NAME_LIMIT - len(end)]}{end}" for end in numbers)
        return next(free for free in itertools.chain((name,), numbered) if free not in taken)


class Seats:
    """All rooms and seats of a server.

    Args:
        limits: The limits on rooms and participants.
        new_id: Returns a new id for a participant; never the same twice.
        new_token: Returns a new secret; never the same twice.

    Attributes:
        rooms: The rooms by name.
    """

    def __init__(
        self, limits: Limits, *, new_id: Callable[[], str], new_token: Callable[[], str]
    ) -> None:
        self.rooms: dict[str, Room] = {}
        self._limits = limits
        self._new_id = new_id
        self._new_token = new_token
        self._tokens: dict[str, Seat] = {}
        self._budget = Budget()
        self._seats_of = Tally(limits.address.seats)
        self._rooms_of = Tally(limits.address.rooms)

    @property
    def count(self) -> int:
        """The number of seats, including those of participants that are away."""
        return sum(len(room.seats) for room in self.rooms.values())

    @property
    def kept_bytes(self) -> int:
        """Bytes of the messages kept for all participants."""
        return self._budget.used

    @property
    def refused_by_address(self) -> dict[str, int]:
        """The number of refusals because an address had reached a limit, by kind of limit."""
        return {"rooms": self._rooms_of.refused, "seats": self._seats_of.refused}

    @property
    def largest_room(self) -> int:
        """The number of seats in the room that has most."""
        return max((len(room.seats) for room in self.rooms.values()), default=0)

    @property
    def most_of_address(self) -> dict[str, int]:
        """The number that one address has, of that which has most, by kind of limit."""
        return {"rooms": self._rooms_of.most, "seats": self._seats_of.most}

    def refusal(self, room: str, name: str, network: str) -> tuple[ErrorCode, str] | None:
        """Return why a client cannot take a new seat, or ``None`` if it can.

        Args:
            room: The name of the room.
            name: The name of the participant.
            network: The network of the client, as :func:`network_of` returns it.
        """
        known = self.rooms.get(room)
        if known is None and len(self.rooms) >= self._limits.rooms:
            return ErrorCode.ROOM_FULL, "The server has reached its limit of rooms."
        if not self._seats_of.has_room(network):
            return ErrorCode.ROOM_FULL, "This address has reached its limit of participants."
        if known is None:
            if self._rooms_of.has_room(network):
                return None
            return ErrorCode.ROOM_FULL, "This address has reached its limit of rooms."
        if known.named(name) is not None:
            return ErrorCode.NAME_TAKEN, "Another participant of the room has this name."
        if len(known.seats) >= self._limits.members:
            return ErrorCode.ROOM_FULL, "The room has reached its limit of participants."
        return None

    def create(self, room: str, name: str, address: str) -> Seat:
        """Return a new seat without a connection; :meth:`refusal` must have returned ``None``.

        Args:
            room: The name of the room, which is created if it does not exist.
            name: The name of the participant.
            address: The IP address of the client; empty if unknown.
        """
        network = network_of(address)
        place = self.rooms.get(room)
        if place is None:
            place = self.rooms[room] = Room(room, network)
            self._rooms_of.add(network)
        outbox = Outbox(self._budget)
        seat = Seat(self._new_id(), name, place, self._new_token(), None, address, outbox)
        self._seats_of.add(network)
        place.seats[seat.id] = seat
        self._tokens[seat.token] = seat
        return seat

    def move(self, seat: Seat, address: str) -> None:
        """Count a seat against the address of its new connection."""
        self._seats_of.remove(network_of(seat.address))
        seat.address = address
        self._seats_of.add(network_of(address))

    def remove(self, seat: Seat) -> None:
        """Remove a seat, its secrets and the messages kept for it; an empty room is removed too."""
        self.confirm_token(seat)
        del self._tokens[seat.token]
        del seat.room.seats[seat.id]
        seat.outbox.close()
        self._seats_of.remove(network_of(seat.address))
        if not seat.room.seats:
            del self.rooms[seat.room.name]
            self._rooms_of.remove(seat.room.founder)

    def with_token(self, token: str) -> Seat | None:
        """Return the seat that a secret resumes."""
        return self._tokens.get(token)

    def renew_token(self, seat: Seat, used: str) -> None:
        """Give a resumed seat a new secret.

        The message that brings the new secret to the client may be lost with its socket. The secret
        just used therefore stays valid until :meth:`confirm_token`.
        """
        for token in {seat.token, seat.previous_token} - {used, None}:
            del self._tokens[str(token)]
        seat.previous_token = used
        seat.token = self._new_token()
        self._tokens[seat.token] = seat

    def confirm_token(self, seat: Seat) -> None:
        """Invalidate the secret that the last resume used: the client has received the new one."""
        if seat.previous_token is not None:
            del self._tokens[seat.previous_token]
            seat.previous_token = None

    def forget_delivered(self, now: float) -> bool:
        """Drop sent messages that must have arrived by now.

        Args:
            now: Seconds on a monotonic clock.

        Returns:
            Whether any sent messages are still kept.
        """
        keeps_sent = False
        for room in self.rooms.values():
            for seat in room.seats.values():
                if seat.connection is not None:
                    seat.outbox.forget(now)
                keeps_sent = keeps_sent or seat.outbox.keeps_sent
        return keeps_sent
