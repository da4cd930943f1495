"""Logs of several nodes as they might be, made from random choices; and replicas that apply them.

As a program it applies one and prints what became of it. Its interpreter may hash strings in
another order than others do.
"""

import hashlib
import random
import sys
from dataclasses import dataclass, field

from icefloe.signaling import (
    AddressLimits,
    Admission,
    Bye,
    CloseRoom,
    HandOver,
    IceServer,
    Join,
    Leave,
    Limits,
    Lock,
    Message,
    Remove,
    Right,
)
from icefloe.signaling.cluster.commands import (
    Command,
    Connected,
    Disconnected,
    Entry,
    NodeAlive,
    NodeLeft,
    NodeStarted,
    decode_body,
    encode_body,
    encode_command,
    global_number,
    joining,
    received,
)
from icefloe.signaling.cluster.replica import Replica
from icefloe.signaling.codec import decode_server
from icefloe.signaling.configuration import Refusal
from icefloe.signaling.effects import Effect, Send
from icefloe.signaling.errors import ErrorCode
from icefloe.signaling.messages import Joined

LIMITS = Limits(
    members=4,
    rooms=6,
    away_seconds=6.0,
    join_seconds=4.0,
    address=AddressLimits(sockets=None, seats=8, rooms=5, joins=30),
)
ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "")


def new_replica() -> Replica:
    return Replica(LIMITS, first_moderates=True)


@dataclass
class Maker:
    """Makes the next entry of a log, looking at what the replica has answered so far."""

    rng: random.Random
    replica: Replica = field(default_factory=new_replica)
    effects: list[Effect] = field(default_factory=list)
    position: int = 0
    milliseconds: int = 1_700_000_000_000
    nodes: dict[int, int] = field(default_factory=dict)
    opened: int = 0
    connections: list[tuple[int, int]] = field(default_factory=list)
    secrets: list[tuple[str, str, str]] = field(default_factory=list)
    asked: dict[int, Join] = field(default_factory=dict)

    def entry(self) -> Entry:
        """Make an entry, apply it and return it."""
        rng = self.rng
        if not self.nodes or rng.random() < 0.03:
            node = rng.getrandbits(31)
            commands: list[Command] = [NodeStarted(rng.randbytes(32))]
            self.nodes[node] = 1
        else:
            node = rng.choice(list(self.nodes))
            commands = [self.command(node) for _ in range(rng.randint(1, 4))]
        first = self.nodes[node]
        if first > 2 and rng.random() < 0.1:
            # Some are written again, and applied once.
            first -= 1
            commands = [NodeAlive(), *commands]
        self.nodes[node] = first + len(commands)
        self.position += 1
        self.milliseconds += rng.choice((0, 1, 5, 20, 20, 50, 300, 900))
        body = encode_body([encode_command(command) for command in commands])
        made = Entry(self.position, self.milliseconds, node, first, decode_body(body), len(body))
        self.replica.apply(made)
        taken = self.replica.rooms.take_effects()
        self.effects += taken
        self._remember(taken)
        if any(isinstance(command, NodeLeft) for command in commands):
            del self.nodes[node]
        return made

    def command(self, node: int) -> Command:
        rng = self.rng
        own = [number for of, number in self.connections if of == node]
        kind = rng.random()
        if not own or kind < 0.2:
            self.opened += 1
            number = self.opened
            self.connections.append((node, number))
            return Connected(number, rng.choice(ADDRESSES))
        number = rng.choice(own)
        if kind < 0.3:
            self.connections.remove((node, number))
            return Disconnected(number)
        if kind < 0.31:
            return NodeAlive()
        if kind < 0.315 and len(self.nodes) > 1:
            return NodeLeft()
        seats = {
            each: self.replica.rooms._seat_by_connection.get(global_number(node, each))
            for each in own
        }
        joined = [each for each, seat in seats.items() if seat is not None]
        if kind < 0.55 or (not joined and kind < 0.95):
            fresh = [each for each in own if each not in joined]
            return self._join(node, rng.choice(fresh) if fresh and kind < 0.9 else number)
        number = rng.choice(joined) if joined and kind < 0.97 else number
        seat = seats[number]
        ids = [] if seat is None else list(seat.room.seats)
        to = rng.choice([*ids, *ids, "nobody"])
        seq = rng.choice((1, 2, 3, 50))
        usual = (Message(to, {"n": seq}, seq=seq), Message(to, "x" * 300), Bye(to, ref=1.5))
        rare = (Lock(False), Lock(True, "a"), Remove(to, 7), HandOver(to), CloseRoom(), Leave())
        message = rng.choice(usual if rng.random() < 0.7 else rare)
        return received(number, message, None)

    def _join(self, node: int, number: int) -> Command:
        rng = self.rng
        if self.secrets and rng.random() < 0.5:
            room, name, secret = rng.choice(self.secrets[-4:])
            join = Join(room=room, name=name, resume=secret, ack=rng.choice((0, 0, 0, 0, 1)))
        else:
            room, name = rng.choice("aaabbbcdefgh"), rng.choice(("alice", "bob", "carol"))
            join = Join(room=room, name=name, token="secret", rename=rng.random() < 0.5)
        self.asked[node << 32 | number] = join
        admission = Admission(
            ice_servers=(IceServer("turn:turn.example", "u", "p"),),
            rename=True,
            rights=rng.choice((None, None, frozenset(Right), frozenset({Right.JOIN}))),
            token_id=rng.choice(("", "t1", "t2")),
            token_seconds=rng.choice((5.0, float("inf"))),
        )
        refusal = Refusal(ErrorCode.TOKEN_EXPIRED, "It has expired.")
        decision = rng.choice((admission, admission, admission, admission, refusal, None))
        return joining(number, join, decision, rng.randbytes(32))

    def _remember(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and effect.connection in self.asked:
                for payload in effect.payloads[:1]:
                    if isinstance(joined := decode_server(payload), Joined):
                        join = self.asked[effect.connection]
                        name = joined.name if isinstance(joined.name, str) else join.name
                        self.secrets.append((join.room, name, joined.resume))


def digest(seed: int, entries: int) -> str:
    """Return a hash over the effects and the state after a log of so many entries."""
    maker = Maker(random.Random(seed))
    for _ in range(entries):
        maker.entry()
    text = repr(maker.effects).encode() + maker.replica.take()
    return hashlib.sha256(text).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(digest(int(sys.argv[1]), int(sys.argv[2])))
