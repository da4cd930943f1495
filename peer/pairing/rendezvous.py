"""Two that have the same code meet at a signaling server, and get a connection that nobody is in.

Nobody gets to know an address of this machine before it has shown that it knows the code.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ssl import SSLContext
from typing import cast

from aiortc import RTCSessionDescription

from icefloe.logs import get_logger
from icefloe.signaling import (
    PeerAway,
    PeerBack,
    PeerBye,
    PeerCandidate,
    PeerDescription,
    PeerInfo,
    PeerJoined,
    PeerLeft,
    PeerMessage,
    Rejoined,
    SignalingClient,
    SignalingError,
    connect,
)

from ..configuration import PeerConfiguration
from ..files.errors import CodeUsedUp, FingerprintMismatch, PairingError, WrongCode
from ..rooms.arrivals import Arrivals
from ..rooms.remote_peer import RemotePeer
from ..rooms.signaler import RoomSignaler, init_of, usable_servers
from .attempts import Attempt, Attempts
from .key_exchange import (
    Code,
    Confirm,
    Fingerprints,
    Pairing,
    Pake,
    Refused,
    Saying,
    Side,
    read,
    said,
)

logger = get_logger(__name__)

GUESSES = 3
"""Wrong codes after which a code is void."""

BUSY_PAUSE = 2.0
"""Seconds after which a receiver asks a busy sender again."""

_STRANGERS = 32
"""Exchanges that are kept at the same time; the oldest is given up for another."""


@dataclass(slots=True)
class _Other:
    """Somebody in the room."""

    id: str
    pairing: Pairing
    way: RoomSignaler
    signed: Fingerprints | None = None
    peer: RemotePeer | None = None
    running: asyncio.Task[None] | None = field(default=None, repr=False)
    is_away: bool = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, or one is about to be, as far as this side can tell."""
        peer = self.peer
        if peer is None or peer.has_ended or self.is_away:
            return False
        return peer.connection.connectionState in ("new", "connecting", "connected")


class _SigningSignaler:
    """Signs each description before it goes out."""

    def __init__(self, way: RoomSignaler, pairing: Pairing) -> None:
        self._way, self._pairing = way, pairing
        self.candidate = way.candidate

    async def description(self, description: RTCSessionDescription) -> None:
        await self._way.message(said(self._pairing.sign(description.sdp)))
        await self._way.description(description)


@asynccontextmanager
async def meet(
    url: str,
    code: Code,
    side: Side,
    *,
    ssl: SSLContext | None = None,
    configuration: PeerConfiguration | None = None,
    connect_timeout: float = 30.0,
) -> "AsyncIterator[Meeting]":
    """Be at the place that a code names, until the end of the block.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        code: The code.
        side: Which side this is.
        ssl: How the certificate of a ``wss://`` server is verified.
        configuration: For the connections; without ``iceServers`` the server's are used.
        connect_timeout: Seconds that a connection may take.

    Raises:
        SignalingError: The server cannot be reached, or refuses.

    Cancellation: safe.
    """
    name = f"{side}-{secrets.token_hex(4)}"
    async with connect(url, room=code.room, name=name, ssl=ssl) as client:
        meeting = Meeting(client, code, side, configuration, connect_timeout)
        pumping = asyncio.create_task(meeting.run(), name=f"meeting of a {side}")
        try:
            yield meeting
        finally:
            pumping.cancel()
            await asyncio.wait((pumping,))
            await meeting.close()


class Meeting:
    """Iterating gives the other side, each time that it comes and has shown that it has the code.

    Each one takes the place of the one before, whose connection is ended: it is the same side, in a
    new process. The iteration raises what ends the meeting: ``PairingError``, or what signaling
    raised when it is lost for good.

    Attributes:
        is_busy: Whether this sender works with the one it is connected to, so that another one has
            to wait until that is gone or :attr:`is_busy` is taken back.
        on_busy: Called when this is a receiver and the sender said that it is busy; it is asked
            again as long as the meeting lasts.
    """

    def __init__(
        self,
        client: SignalingClient,
        code: Code,
        side: Side,
        configuration: PeerConfiguration | None,
        connect_timeout: float,
    ) -> None:
        self._client, self._code, self._side = client, code, side
        self._configuration = configuration or PeerConfiguration()
        self._connect_timeout = connect_timeout
        self._others: dict[str, _Other] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._attempts = Attempts()
        self._attempted = asyncio.Event()
        self._lock = asyncio.Lock()
        self._paired: Arrivals[RemotePeer] = Arrivals()
        self._failure: PairingError | SignalingError | None = None
        self._guesses = 0
        self._shown = 0
        self.is_busy = False
        self.on_busy: Callable[[], None] = lambda: None

    @property
    def side(self) -> Side:
        """Which side this is."""
        return self._side

    @property
    def is_shared(self) -> bool:
        """Whether somebody else is here who takes the same side, with a code of its own maybe."""
        return any(_is(info, self._side) for info in self._client.peers)

    async def __aiter__(self) -> AsyncIterator[RemotePeer]:
        async for peer in self._paired:
            if not peer.has_ended:
                yield peer
        if self._failure is not None:
            raise self._failure

    async def run(self) -> None:
        """Take in what comes, until the meeting ends."""
        listening = asyncio.create_task(self._listen(), name="what is said at a meeting")
        working = asyncio.create_task(self._work(), name="pairing at a meeting")
        tasks = {listening, working}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (PairingError, SignalingError) as error:
            self._failure = error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._paired.end()

    async def _listen(self) -> None:
        for info in self._client.peers:
            self._greet(info)
        async for event in self._client:
            async with self._lock:
                await self._take(event)

    async def _work(self) -> None:
        """Work at the attempts, one after the other; what that costs is spent in a thread."""
        loop = asyncio.get_running_loop()
        while True:
            self._attempted.clear()
            now = loop.time()
            attempt = self._attempts.next(now)
            if attempt is None:
                due = self._attempts.due()
                try:
                    async with asyncio.timeout(None if due is None else max(due - now, 0)):
                        await self._attempted.wait()
                except TimeoutError:
                    pass
                continue
            await self._try(attempt)
            for saying in self._attempts.done(attempt):
                async with self._lock:
                    await self._on_saying(attempt.id, cast("Saying", saying))

    async def _try(self, attempt: Attempt) -> None:
        half = attempt.half
        other = self._others.get(attempt.id)
        if isinstance(half, Pake) and self._side is Side.RECEIVER:
            if other is not None and not other.pairing.has_key:
                await self._show(other, half, attempt)
            return
        pairing, is_half = await asyncio.to_thread(
            _begun, self._code, self._side, cast("Pake | None", half)
        )
        async with self._lock:
            if not self._attempts.is_wanted(attempt):
                return  # it is gone
            other = self._meet(attempt.id, pairing)
            if is_half:
                await other.way.message(said(pairing.pake))
            else:
                await self._refuse(other, "wrong-code")

    async def close(self) -> None:
        """End all connections."""
        for other in self._others.values():
            if other.peer is not None:
                other.peer.end("closed")
        for task in self._asking:
            task.cancel()
        if tasks := {*self._tasks, *self._asking}:
            await asyncio.wait(tasks)

    # --- what comes

    async def _take(self, event: object) -> None:
        match event:
            case PeerJoined():
                self._greet(event.peer)
            case PeerMessage():
                await self._on_message(event.from_, event.data)
            case PeerDescription():
                await self._on_description(event)
            case PeerCandidate():
                other = self._others.get(event.from_)
                if other is not None and other.peer is not None:
                    await other.peer.receive_candidate(init_of(event.candidate))
            case PeerAway() | PeerBack():
                if (other := self._others.get(event.id)) is not None:
                    other.is_away = isinstance(event, PeerAway)
            case PeerLeft():
                self._attempts.forget(event.id)
                self._forget(event.id, event.reason)
            case PeerBye():
                self._forget(event.from_, "bye")
            case Rejoined():
                for id in list(self._others):
                    self._attempts.forget(id)
                    self._forget(id, "rejoined")
                for info in event.joined.peers:
                    self._greet(info)

    def _greet(self, info: PeerInfo) -> None:
        # The receiver speaks first, to whoever may be the sender.
        if self._side is Side.RECEIVER and _is(info, Side.SENDER):
            self._attempt(Attempt(info.id))

    def _attempt(self, attempt: Attempt) -> None:
        if self._attempts.add(attempt):
            self._attempted.set()

    def _meet(self, id: str, pairing: Pairing) -> _Other:
        self._forget(id, "again")
        for stranger in [o.id for o in self._others.values() if o.peer is None][: -_STRANGERS + 1]:
            self._forget(stranger, "crowd")
        other = _Other(id, pairing, RoomSignaler(self._client, id))
        self._others[id] = other
        return other

    def _forget(self, id: str, reason: str) -> None:
        other = self._others.pop(id, None)
        if other is not None and other.peer is not None:
            other.peer.end(reason)

    async def _on_message(self, id: str, data: object) -> None:
        saying = read(data)
        if isinstance(saying, Pake):
            if self._side is Side.SENDER or id in self._others:
                self._attempt(Attempt(id, saying))
        elif saying is not None and not self._attempts.follow(id, saying):
            await self._on_saying(id, saying)

    async def _on_saying(self, id: str, saying: Saying) -> None:
        other = self._others.get(id)
        match saying:
            case Confirm() if other is not None and other.pairing.has_key:
                await self._on_confirm(other, saying)
            case Fingerprints() if other is not None and other.pairing.is_paired:
                other.signed = saying
            case Refused() if other is not None:
                self._on_refused(other, saying)

    async def _show(self, other: _Other, pake: Pake, attempt: Attempt) -> None:
        # Who gets this can try one guess on it, and need not answer: it counts until it does.
        if self._shown >= GUESSES:
            raise CodeUsedUp(self._shown)
        confirm = await asyncio.to_thread(other.pairing.receive, pake)
        async with self._lock:
            if self._attempts.is_wanted(attempt) and self._others.get(other.id) is other:
                self._shown += 1
                await other.way.message(said(confirm))

    async def _on_confirm(self, other: _Other, confirm: Confirm) -> None:
        if other.pairing.is_paired:
            return
        try:
            other.pairing.check(confirm)
        except WrongCode:
            await self._refuse(other, "wrong-code")
            return
        self._attempts.paired(other.id)
        if self._side is Side.SENDER:
            await other.way.message(said(other.pairing.confirmation))
            if self.is_busy and any(one.is_connected for one in self._others.values()):
                self._forget(other.id, "busy")
                await other.way.message(said(Refused("busy")))
                return
        else:
            self._shown -= 1
        for id in [id for id in self._others if id != other.id]:
            self._forget(id, "superseded")
        self._connect(other)

    async def _refuse(self, other: _Other, reason: str) -> None:
        self._others.pop(other.id, None)
        self._guesses += 1
        logger.warning("somebody tried a wrong code: %d of %d", self._guesses, GUESSES)
        await other.way.message({"pairing": "refused", "reason": reason})
        if self._side is Side.RECEIVER:
            raise WrongCode
        if self._guesses >= GUESSES:
            raise CodeUsedUp(self._guesses)

    def _on_refused(self, other: _Other, refused: Refused) -> None:
        # Before it is paired anybody may say so to the sender, who goes on with others.
        if self._side is Side.RECEIVER or other.pairing.is_paired:
            is_busy = refused.reason == "busy" and other.pairing.is_paired
            self._forget(other.id, "busy" if is_busy else "refused")
            if is_busy:
                self._ask_again(other.id)
                return
            if refused.reason == "fingerprints":
                raise FingerprintMismatch
            raise WrongCode
        self._forget(other.id, "refused")

    def _ask_again(self, id: str) -> None:
        self.on_busy()
        asking = asyncio.create_task(self._ask_later(id), name="asking a busy sender again")
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _ask_later(self, id: str) -> None:
        await asyncio.sleep(BUSY_PAUSE)
        for info in self._client.peers:
            if info.id == id and id not in self._others:
                self._greet(info)

    async def _on_description(self, event: PeerDescription) -> None:
        other = self._others.get(event.from_)
        if other is None or other.peer is None:
            return
        if not other.pairing.verify(other.signed, event.description.sdp):
            self._forget(other.id, "fingerprints")
            await other.way.message(said(Refused("fingerprints")))
            raise FingerprintMismatch
        description = RTCSessionDescription(sdp=event.description.sdp, type=event.description.type)
        await other.peer.receive_description(description)

    # --- the connection

    def _connect(self, other: _Other) -> None:
        configuration = self._configuration
        if configuration.iceServers is None:
            servers = list(usable_servers(self._client.ice_servers))
            configuration = replace(configuration, iceServers=servers)
        peer = other.peer = RemotePeer(
            id=other.id,
            name=str(self._side.other),
            polite=self._side is Side.SENDER,
            signaler=_SigningSignaler(other.way, other.pairing),
            configuration=configuration,
            connect_timeout=self._connect_timeout,
        )
        task = asyncio.create_task(peer.run(), name=f"paired {self._side.other}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        other.running = task
        peer.connection.on("connectionstatechange", lambda: self._on_state(peer))
        if self._side is Side.RECEIVER:
            peer.start()
        self._paired.put(peer)

    def _on_state(self, peer: RemotePeer) -> None:
        if peer.connection.connectionState == "disconnected":
            self._client.suspect()


def _begun(code: Code, side: Side, half: Pake | None) -> tuple[Pairing, bool]:
    """Begin an exchange and take the other side's half, if it came; tell whether it is one."""
    pairing = Pairing(code, side)
    if half is not None:
        try:
            pairing.receive(half)
        except WrongCode:
            return pairing, False
    return pairing, True


def _is(info: PeerInfo, side: Side) -> bool:
    return info.name.startswith(f"{side}-")
