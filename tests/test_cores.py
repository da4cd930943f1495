"""Protocol logic without I/O keeps its contract, see "How protocol logic is driven"."""

import ast
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from aioice import stun
from hypothesis import given, strategies as st

import icefloe
from icefloe.peer.files.errors import TransferErrorCode, TransferFailed
from icefloe.peer.files.protocol import (
    Accept,
    Ack,
    Begin,
    Data,
    Decline,
    Done,
    End,
    Entries,
    Entry,
    Failed,
    Finish,
    Finished,
    FromReceiver,
    FromSender,
    Have,
    Kept,
    Offer,
)
from icefloe.peer.files.receiver import Receiver
from icefloe.peer.files.sender import Sender
from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.checks.connectivity import Checks
from icefloe.peer.ice.checks.state import Settings as IceSettings
from icefloe.peer.sctp.association import Association
from icefloe.peer.sctp.outbound import Message as SctpMessage
from icefloe.peer.sctp.packet import Header, Kind, chunk
from icefloe.peer.sctp.states import Settings as SctpSettings, State
from icefloe.signaling import Join, Leave, Message
from icefloe.signaling.configuration import Admission, Limits
from icefloe.signaling.errors import ErrorCode
from icefloe.signaling.messages import Bye, Candidate
from icefloe.signaling.rooms import Rooms
from tests.helpers.puppet import BASE, HERE, local_candidate, remote_candidate

START = 1000.0
ROUNDS = 200
"""Deadlines in a row that are waited for without any input."""

MOST_STEPS = 1000
"""Things that may come out at once; more would never end."""


class Timed(Protocol):
    """Protocol logic that has timers."""

    @property
    def deadline(self) -> float: ...
    def handle_timeout(self, now: float) -> None: ...


class Driver(Protocol):
    """Drives one core: everything that can be done to it, and everything that comes out of it."""

    def inputs(self, now: float) -> Sequence[Callable[[int], object]]:
        """Return what may happen, each given a number that chooses its details."""
        ...

    def drain(self, now: float) -> list[object]:
        """Take and poll everything."""
        ...

    def end(self, now: float) -> None:
        """End it, by whatever ends it."""
        ...


class TimedDriver(Driver, Protocol):
    """A driver of a core that has timers."""

    @property
    def core(self) -> Timed: ...


def until_none(poll: Callable[[], object | None]) -> list[object]:
    """Poll until there is nothing more."""
    found = list(itertools.islice(iter(poll, None), MOST_STEPS))
    assert len(found) < MOST_STEPS
    return found


class AssociationDriver:
    """An association, and its peer at the other end of a link that the test controls."""

    def __init__(self, *, interleaves: bool) -> None:
        def made(tag: int) -> Association:
            secret = bytes([tag]) * 16
            return Association(
                SctpSettings(tag=tag, tsn=tag * 1000, secret=secret, interleaves=interleaves)
            )

        self.core, self.peer = made(1), made(2)
        self.coming: deque[bytes] = deque(maxlen=64)
        self.seen: deque[bytes] = deque([b""], maxlen=16)

    @classmethod
    def established(cls, *, interleaves: bool = True) -> "AssociationDriver":
        """Return one that has done the handshake."""
        driver = cls(interleaves=interleaves)
        driver.core.connect(START)
        for _ in range(4):
            driver.drain(START)
            while driver.coming:
                driver.core.receive(driver.coming.popleft(), START)
        driver.drain(START)
        assert driver.core.state is State.ESTABLISHED
        return driver

    def inputs(self, now: float) -> Sequence[Callable[[int], object]]:
        core, peer = self.core, self.peer
        header = Header(5000, 5000, 1)

        def arrive(_: int) -> None:
            if self.coming:
                self.seen.append(self.coming.popleft())
                core.receive(self.seen[-1], now)

        def damage(number: int) -> None:
            packet = bytearray(self.seen[-1])
            if packet:
                packet[number % len(packet)] ^= 1 + number % 255
            core.receive(bytes(packet), now)

        def peer_acts(number: int) -> None:
            peer.send(SctpMessage(number % 8, 53, bytes(number)))
            if number % 5 == 0:
                peer.reset(number % 8)
            peer.handle_timeout(now)
            self.coming += peer.take_datagrams(now)

        return (
            arrive,
            arrive,
            peer_acts,
            damage,
            lambda number: core.connect(now),
            lambda number: core.send(SctpMessage(number % 8, 53, bytes(number * 50))),
            lambda number: core.send(SctpMessage(9, 53, b"x" * number, max_retransmits=0)),
            lambda number: core.send(SctpMessage(9, 53, b"x", expires=now + number / 100)),
            lambda number: core.reset(number % 8),
            lambda number: core.stream_reused(number % 8),
            lambda number: core.path_changed(now, was_lost=bool(number & 1)),
            lambda number: core.hold(number),
            lambda number: core.hold(-number),
            lambda number: core.probe_refused(now),
            lambda number: core.handle_timeout(now),
            lambda number: core.receive(self.seen[number % len(self.seen)], now),
            lambda number: core.receive(header.seal(chunk(number, 0, bytes(number))), now),
            lambda number: core.receive(header.seal(chunk(Kind.SHUTDOWN, 0, bytes(4))), now),
        )

    def drain(self, now: float) -> list[object]:
        core = self.core
        packets = core.take_datagrams(now)
        for packet in packets:
            self.peer.receive(packet, now)
        self.coming += self.peer.take_datagrams(now)
        until_none(self.peer.poll_event)
        events = until_none(core.poll_event)
        others = until_none(core.take_probe) + until_none(core.poll_changes)
        return [*packets, *events, *others]

    def end(self, now: float) -> None:
        self.core.connect(now)
        self.core.abort()


class ChecksDriver:
    """A check list, and another side that knows its passwords."""

    ADDRESSES = (("198.51.100.2", 2000), ("203.0.113.2", 4000), ("192.0.2.66", 666))

    def __init__(self, *, controlling: bool) -> None:
        role, settings = Role(controlling, 1), IceSettings()
        self.core = Checks(Credentials("here", "here-password"), role, settings)
        self._is_retired = False
        self._theirs = Credentials("there", "there-password", "here", "here-password")
        self._role = Role(not controlling, 2)
        self._asked: list[tuple[stun.Message, tuple[str, int]]] = []

    @classmethod
    def started(cls, *, controlling: bool) -> "ChecksDriver":
        """Return one that has begun."""
        driver = cls(controlling=controlling)
        driver.core.add_local(local_candidate(), START)
        driver._start(0, START)
        return driver

    def _start(self, number: int, now: float) -> None:
        self.core.start("there", "there-password", lite=number == 1, now=now)

    def _check(self, number: int, now: float) -> None:
        _, check = binding.request(
            self._theirs, self._role, local_preference=65535, use_candidate=bool(number & 4)
        )
        self.core.receive(stun.parse_message(check), self.ADDRESSES[number % 3], BASE, now)

    def _answer(self, number: int, now: float) -> None:
        if not self._asked:
            return
        request, address = self._asked[number % len(self._asked)]
        if number & 64:
            answer = binding.error(request, binding.ROLE_CONFLICT, self._theirs)
        else:
            answer = binding.success(request, HERE, self._theirs)
        self.core.receive(stun.parse_message(answer), address, BASE, now)

    def inputs(self, now: float) -> Sequence[Callable[[int], object]]:
        core, addresses = self.core, self.ADDRESSES

        def add_remote(number: int) -> None:
            address, kind = addresses[number % 3], ("host", "srflx", "relay")[number % 3]
            core.add_remote(remote_candidate(address, kind), address, now)

        indication = stun.Message(stun.Method.BINDING, stun.Class.INDICATION)
        quiet = (
            add_remote,
            lambda number: core.add_local(local_candidate(), now),
            lambda number: core.end_local(now),
            lambda number: core.end_remote(now),
            lambda number: core.remove_base(BASE, now),
            lambda number: core.receive(indication, addresses[number % 3], BASE, now),
            lambda number: core.receive_data(BASE, addresses[number % 3], number, now),
            lambda number: core.path(now),
            lambda number: core.handle_timeout(now),
            lambda number: self._answer(number, now),
            lambda number: self._answer(number, now),
        )
        if self._is_retired:
            return quiet  # it still answers the checks of the other side
        return (
            *quiet,
            lambda number: self._check(number, now),
            lambda number: self._start(number, now),
            lambda number: core.probe_path(now),
        )

    def drain(self, now: float) -> list[object]:
        found = self.core.take_datagrams()
        for item in found:
            message = stun.parse_message(item.message)
            if message.message_class is stun.Class.REQUEST:
                self._asked = [*self._asked[-20:], (message, item.address)]
        return [*found]

    def end(self, now: float) -> None:
        self.core.retire()
        self._is_retired = True


class RoomsDriver:
    """The rooms of a server, and six connections."""

    def __init__(self) -> None:
        ids, tokens = itertools.count(1), itertools.count(1)
        self.core = Rooms(
            Limits(members=3, rooms=2),
            new_id=lambda: f"p{next(ids)}",
            new_token=lambda: f"t{next(tokens)}",
        )
        self._connections = list(range(6))
        self._is_closed = False

    def inputs(self, now: float) -> Sequence[Callable[[int], object]]:
        core, numbers = self.core, self._connections

        def join(number: int) -> None:
            name, secret = f"n{number % 4}", f"t{number % 8}" if number & 64 else None
            wanted = Join(room=f"r{number % 3}", name=name, rename=bool(number & 32))
            if secret is not None:
                wanted = Join(room=f"r{number % 3}", name=name, resume=secret, ack=number % 5)
            admission = Admission(rename=True) if number & 128 else None
            core.receive(numbers[number % 6], wanted, now, admission)

        def reconnect(number: int) -> None:
            core.disconnect(numbers[number % 6], now)
            numbers[number % 6] += 6
            core.connect(numbers[number % 6], now, f"192.0.2.{number % 3}")

        quiet: tuple[Callable[[int], object], ...] = (
            join,
            lambda number: core.receive(numbers[number % 6], Leave(), now),
            lambda number: core.receive(
                numbers[number % 6], Message(f"p{number % 9}", {"n": number}, seq=number), now
            ),
            lambda number: core.receive(numbers[number % 6], Candidate(f"p{number % 9}"), now),
            lambda number: core.receive(numbers[number % 6], Bye(f"p{number % 9}"), now),
            lambda number: core.disconnect(numbers[number % 6], now),
            lambda number: core.handle_timeout(now),
        )
        if self._is_closed:
            return quiet
        return (
            *quiet,
            join,
            reconnect,
            reconnect,
            lambda number: core.refuse(numbers[number % 6], ErrorCode.RATE_LIMITED, "slow down"),
        )

    def drain(self, now: float) -> list[object]:
        return [*self.core.take_effects()]

    def end(self, now: float) -> None:
        self._is_closed = True
        for connection in self._connections:
            self.core.disconnect(connection, now)
        while (deadline := self.core.deadline) < float("inf"):
            self.core.handle_timeout(deadline)


ENTRIES = [Entry("a", 3000), Entry("b", 0), Entry("c", 12), Entry("d", folder=True)]
HASH = "0" * 64


class SenderDriver:
    """The sender of three files and a folder."""

    def __init__(self) -> None:
        self._machine = Sender(ENTRIES, block=500)

    def inputs(self, now: float) -> Sequence[Callable[[int], object]]:
        machine = self._machine
        said: tuple[Callable[[int], FromReceiver], ...] = (
            lambda number: Accept(),
            lambda number: Accept(),
            lambda number: Have([Kept(number % 5, number, HASH)]),
            lambda number: Ack(number % 4, number * 10),
            lambda number: Done(number % 4),
            lambda number: Finished(),
            lambda number: Decline("no"),
            lambda number: Failed(code="cancelled", detail="", path=""),
        )

        def heard(message: Callable[[int], FromReceiver]) -> Callable[[int], object]:
            return lambda number: machine.receive(message(number))

        return (
            *map(heard, said),
            lambda number: machine.opened(number % 3, kept_is_right=bool(number & 1)),
            lambda number: machine.opened(number % 3, kept_is_right=bool(number & 1)),
            lambda number: machine.read(bytes(number), digest=None),
            lambda number: machine.read(bytes(number), digest=HASH),
        )

    def drain(self, now: float) -> list[object]:
        return until_none(self._machine.poll_step)

    def end(self, now: float) -> None:
        self._machine.fail(TransferFailed(TransferErrorCode.CANCELLED, "", "stopped"))


class ReceiverDriver:
    """The receiver of three files and a folder."""

    def __init__(self) -> None:
        self._machine = Receiver()
        self._machine.receive(Entries(ENTRIES))
        self._offset = 0

    def inputs(self, now: float) -> Sequence[Callable[[int], object]]:
        machine = self._machine

        def begin(number: int) -> None:
            self._offset = 0
            machine.receive(Begin(number % 4, 0))

        def data(number: int) -> None:
            machine.receive(Data(number % 4, self._offset, bytes(1 + number)))
            self._offset += 1 + number

        said: tuple[Callable[[int], FromSender], ...] = (
            lambda number: Offer(count=4, size=3012),
            lambda number: Offer(count=4, size=3012),
            lambda number: Entries(ENTRIES),
            lambda number: End(number % 4, self._offset, HASH),
            lambda number: Finish(),
            lambda number: Failed(code="cancelled", detail="", path=""),
        )

        def heard(message: Callable[[int], FromSender]) -> Callable[[int], object]:
            return lambda number: machine.receive(message(number))

        return (
            *map(heard, said),
            begin,
            data,
            data,
            lambda number: machine.accept([Kept(0, 3, HASH)]),
            lambda number: machine.accept([]),
            lambda number: machine.decline("no"),
            lambda number: machine.written(number % 4, self._offset),
            lambda number: machine.closed(number % 4),
            lambda number: machine.completed(),
        )

    def drain(self, now: float) -> list[object]:
        found = until_none(self._machine.poll_step)
        assert self._machine.write_size == 0
        return found

    def end(self, now: float) -> None:
        self._machine.fail(TransferFailed(TransferErrorCode.CANCELLED, "", "stopped"))


TIMED: dict[str, Callable[[], TimedDriver]] = {
    "association": AssociationDriver.established,
    "association with DATA": lambda: AssociationDriver.established(interleaves=False),
    "new association": lambda: AssociationDriver(interleaves=True),
    "controlling checks": lambda: ChecksDriver.started(controlling=True),
    "controlled checks": lambda: ChecksDriver.started(controlling=False),
    "new checks": lambda: ChecksDriver(controlling=True),
    "rooms": RoomsDriver,
}
CORES: dict[str, Callable[[], Driver]] = {
    **TIMED,
    "sender of files": SenderDriver,
    "receiver of files": ReceiverDriver,
}

acts = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.sampled_from([0.0, 0.003, 0.1, 1.0])),
    max_size=60,
)
"""Inputs, each with its number, and the seconds before it."""

Acts = list[tuple[int, int, float]]


def act(driver: Driver, which: int, number: int, now: float) -> None:
    """Have one of the inputs happen; none of them raises, whatever came before."""
    inputs = driver.inputs(now)
    inputs[which % len(inputs)](number)


@pytest.mark.parametrize("kind", TIMED)
@given(acts)
def test_a_deadline_is_later_once_its_timeout_was_handled(kind: str, given_acts: Acts) -> None:
    driver, now = TIMED[kind](), START
    for which, number, pause in given_acts:
        now += pause
        act(driver, which, number, now)
        driver.drain(now)
        driver.core.handle_timeout(now)
        driver.drain(now)
        assert driver.core.deadline > now
    for _ in range(ROUNDS):
        now = driver.core.deadline
        if now == float("inf"):
            break
        driver.core.handle_timeout(now)
        driver.drain(now)
        assert driver.core.deadline > now


@pytest.mark.parametrize("kind", CORES)
@given(acts)
def test_what_was_taken_does_not_come_again(kind: str, given_acts: Acts) -> None:
    driver, now = CORES[kind](), START
    for which, number, pause in given_acts:
        now += pause
        act(driver, which, number, now)
        driver.drain(now)
        assert driver.drain(now) == []


@pytest.mark.parametrize("kind", CORES)
@given(acts, acts)
def test_nothing_comes_out_after_the_end(kind: str, before: Acts, after: Acts) -> None:
    driver, now = CORES[kind](), START
    for which, number, pause in before:
        now += pause
        act(driver, which, number, now)
    driver.drain(now)
    driver.end(now)
    driver.drain(now)
    for which, number, pause in after:
        now += pause
        act(driver, which, number, now)
        if (timed := getattr(driver, "core", None)) is not None:
            assert timed.deadline == float("inf")
        assert driver.drain(now) == []


ROOT = Path(icefloe.__file__).parent
PURE = sorted(
    [
        *(ROOT / "peer" / "sctp").glob("*.py"),
        *(ROOT / "peer" / "sctp" / "congestion").glob("*.py"),
        *(ROOT / "peer" / "ice" / "checks").glob("*.py"),
        *(ROOT / "peer" / "files" / name for name in ("sender.py", "receiver.py", "protocol.py")),
        *(ROOT / "peer" / "connection" / name for name in ("perfect_negotiation.py",)),
        *(ROOT / "peer" / "pairing" / name for name in ("attempts.py",)),
        *(ROOT / "peer" / "rtp" / "receive" / name for name in ("jitter_buffer.py",)),
        *(
            ROOT / "signaling" / name
            for name in ("rooms.py", "seats.py", "pending.py", "quotas.py")
        ),
        *(ROOT / "signaling" / name for name in ("membership.py", "outbox.py")),
    ]
)
SHELLS = {"transport.py", "data_channels.py"}
"""Files of these folders that are shells."""


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_protocol_logic_has_neither_a_clock_nor_a_loop(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                imported |= {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str(module), level=0):
                imported.add(module.partition(".")[0])
    has_any = bool(imported & {"asyncio", "time", "datetime", "socket", "threading", "select"})
    assert has_any is (path.name in SHELLS and path.parent.name == "sctp")
