"""The meeting of two peers that share a code: they pair, and connect to each other.

The peers authenticate each other's DTLS fingerprints with a key from the code, so the signaling
server cannot intercept the connection. A peer learns the addresses of this machine only after it
has shown that it has the code.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from logging import Logger
from types import TracebackType
from typing import Self, cast

from aiortc import RTCSessionDescription

from icefloe._util.deadlines import timeout_at
from icefloe.logs import get_logger
from icefloe.signaling import IceServer, PeerInfo, SignalingClient, SignalingError

from ..configuration import PeerConfiguration
from ..connection.remote_candidates import RemoteCandidate
from ..rooms.arrivals import Arrivals
from ..rooms.remote_peer import RemotePeer
from ..rooms.signaler import RoomSignaler, renew_servers
from ..rooms.signaling_pump import SignalingPump
from .attempts import Attempt, Attempts
from .errors import FingerprintMismatch, PairingCodeUsedUp, PairingError, WrongPairingCode
from .key_exchange import (
    Confirm,
    Fingerprints,
    Pairing,
    PairingCode,
    PairingMessage,
    PairingSide,
    Pake,
    Refused,
    begin,
    decode,
    encode,
)
from .participant import Participant, has_role

logger: Logger = get_logger(__name__)

MAX_GUESSES = 3
"""Wrong codes after which a code is void."""

BUSY_RETRY_SECONDS = 2.0
"""Seconds after which a receiver asks a busy sender again."""

_MAX_UNPAIRED = 32
"""Key exchanges that are kept open at the same time; beyond it the oldest is dropped."""


class Meeting:
    """The rendezvous of this program with the remote peer that has the same code; see :func:`meet`.

    Iterating gives a connection each time that the remote peer has come and shown that it has the
    code. A new connection replaces the one before, which is ended: it is the same user, in a new
    process. The iteration raises the error that ends the meeting: a :class:`PairingError`, or the
    error with which signaling was lost for good.

    Attributes:
        is_busy: Set by a sender while it transfers to a receiver. Another receiver is then turned
            away until the first one has gone, or until this is false again.
        on_busy: Called in a receiver when the sender has answered that it is busy. The receiver
            then asks again for as long as the meeting lasts.
    """

    def __init__(
        self,
        client: SignalingClient,
        code: PairingCode,
        side: PairingSide,
        configuration: PeerConfiguration | None,
        connect_timeout: float,
    ) -> None:
        self._client, self._code, self._side = client, code, side
        self._configuration = configuration or PeerConfiguration()
        self._connect_timeout = connect_timeout
        self._participants: dict[str, Participant] = {}
        self._pump = SignalingPump(client, self)
        self._retries: set[asyncio.Task[None]] = set()
        self._attempts = Attempts()
        self._has_attempt = asyncio.Event()
        self._paired: Arrivals[RemotePeer] = Arrivals()
        self._running: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._guesses = 0
        self._unanswered_confirms = 0
        self.is_busy = False
        self.on_busy: Callable[[], None] = lambda: None

    @property
    def code(self) -> PairingCode:
        """The code; ``str(meeting.code)`` is the text that the other program takes."""
        return self._code

    @property
    def side(self) -> PairingSide:
        """The role of this program."""
        return self._side

    async def __aiter__(self) -> AsyncIterator[RemotePeer]:
        async for peer in self._paired:
            if not peer.has_ended:
                yield peer
        if self._failure is not None:
            raise self._failure

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name=f"meeting of a {self._side}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        await self._close()

    async def _run(self) -> None:
        """Process signaling events and pairing attempts until the meeting ends."""
        self._pump.begin()
        listening = asyncio.create_task(self._pump.run(), name="signaling of a meeting")
        working = asyncio.create_task(self._work(), name="pairing at a meeting")
        tasks = {listening, working}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._failure = task.result()
        except (PairingError, SignalingError) as error:
            self._failure = error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._paired.end()

    async def _close(self) -> None:
        """End all connections."""
        for task in self._retries:
            task.cancel()
        await self._pump.peers.end_all("closed")
        if self._retries:
            await asyncio.wait(self._retries)

    # --- pairing attempts, whose computations take milliseconds and run in a thread

    async def _work(self) -> None:
        """Process the attempts, one at a time."""
        loop = asyncio.get_running_loop()
        while True:
            self._has_attempt.clear()
            attempt = self._attempts.next(loop.time())
            if attempt is None:
                with suppress(TimeoutError):
                    async with timeout_at(self._attempts.deadline):
                        await self._has_attempt.wait()
                continue
            await self._try(attempt)
            for message in self._attempts.finish(attempt):
                async with self._pump.lock:
                    await self._on_pairing_message(attempt.id, cast("PairingMessage", message))

    async def _try(self, attempt: Attempt) -> None:
        pake = cast("Pake | None", attempt.pake)
        participant = self._participants.get(attempt.id)
        if pake is not None and self._side is PairingSide.RECEIVER:
            if participant is not None and not participant.pairing.has_key:
                await self._confirm(participant, pake, attempt)
            return
        pairing, is_valid = await asyncio.to_thread(begin, self._code, self._side, pake)
        async with self._pump.lock:
            if not self._attempts.is_pending(attempt):
                return  # the participant has left
            participant = self._add(attempt.id, pairing)
            if is_valid:
                await participant.signaler.message(encode(pairing.pake))
            else:
                await self._refuse_code(participant)

    async def _confirm(self, participant: Participant, pake: Pake, attempt: Attempt) -> None:
        # Each confirmation lets its reader test one guess of the code, without having to answer. So
        # it counts as a guess until a right answer comes.
        if self._unanswered_confirms >= MAX_GUESSES:
            raise PairingCodeUsedUp(self._unanswered_confirms)
        confirm = await asyncio.to_thread(participant.pairing.receive, pake)
        async with self._pump.lock:
            is_current = self._participants.get(participant.id) is participant
            if self._attempts.is_pending(attempt) and is_current:
                self._unanswered_confirms += 1
                await participant.signaler.message(encode(confirm))

    def _enqueue(self, attempt: Attempt) -> None:
        if self._attempts.add(attempt):
            self._has_attempt.set()

    # --- the policy of the pump

    def joined(self, info: PeerInfo, *, senior: bool) -> None:
        """Begin a key exchange with a possible sender; it is the receiver that begins."""
        self._approach(info)

    def presence_changed(self, id: str, *, away: bool) -> None:
        """Note that a participant is away: another one is not turned away for it."""
        if (participant := self._participants.get(id)) is not None:
            participant.is_away = away

    def left(self, id: str, reason: str) -> None:
        """Let go of a participant, and of its attempts."""
        self._attempts.forget(id)
        self._remove(id, reason)

    def hung_up(self, id: str) -> None:
        """Let go of a participant; its attempts still count."""
        self._remove(id, "bye")

    def rejoined(self) -> None:
        """Begin anew with everybody."""
        for id in list(self._participants):
            self.left(id, "rejoined")

    def renewed(self, servers: Iterable[IceServer]) -> None:
        """Give the servers to all connections, unless the application has named its own."""
        peers = [participant.peer for participant in self._participants.values()]
        connections = (peer.connection for peer in peers if peer is not None)
        renew_servers(connections, self._configuration, servers)

    def connection(self, id: str) -> RemotePeer | None:
        """Return the connection with a participant that has shown that it has the code."""
        participant = self._participants.get(id)
        peer = participant.peer if participant is not None else None
        return peer if peer is not None and not peer.has_ended else None

    async def admits(self, id: str, description: RTCSessionDescription) -> bool:
        """Return whether a description is of a participant with the code, and signed with it."""
        participant = self._participants.get(id)
        if participant is None or participant.peer is None:
            return False
        if not participant.pairing.verify(participant.signature, description.sdp):
            self._remove(participant.id, "fingerprints")
            await participant.signaler.message(encode(Refused("fingerprints")))
            raise FingerprintMismatch
        return True

    def unconnected(self, id: str, item: RTCSessionDescription | RemoteCandidate) -> None:
        """Ignore it: a connection begins with the code."""

    async def message(self, id: str, data: object) -> None:
        """Take a message of the key exchange."""
        message = decode(data)
        if isinstance(message, Pake):
            if self._side is PairingSide.SENDER or id in self._participants:
                self._enqueue(Attempt(id, message))
        elif message is not None and not self._attempts.queue_message(id, message):
            await self._on_pairing_message(id, message)

    # --- participants

    def _approach(self, info: PeerInfo) -> None:
        if self._side is PairingSide.RECEIVER and has_role(info, PairingSide.SENDER):
            self._enqueue(Attempt(info.id))

    def _add(self, id: str, pairing: Pairing) -> Participant:
        self._remove(id, "again")
        unpaired = [other.id for other in self._participants.values() if other.peer is None]
        for oldest in unpaired[: -_MAX_UNPAIRED + 1]:
            self._remove(oldest, "crowd")
        participant = Participant(id, pairing, RoomSignaler(self._client, id))
        self._participants[id] = participant
        return participant

    def _remove(self, id: str, reason: str) -> None:
        participant = self._participants.pop(id, None)
        if participant is not None and participant.peer is not None:
            participant.peer.end(reason)

    async def _on_pairing_message(self, id: str, message: PairingMessage) -> None:
        participant = self._participants.get(id)
        match message:
            case Confirm() if participant is not None and participant.pairing.has_key:
                await self._on_confirm(participant, message)
            case Fingerprints() if participant is not None and participant.pairing.is_paired:
                participant.signature = message
            case Refused() if participant is not None:
                self._on_refused(participant, message)

    async def _on_confirm(self, participant: Participant, confirm: Confirm) -> None:
        if participant.pairing.is_paired:
            return
        try:
            participant.pairing.check(confirm)
        except WrongPairingCode:
            await self._refuse_code(participant)
            return
        self._attempts.paired(participant.id)
        if self._side is PairingSide.SENDER:
            await participant.signaler.message(encode(participant.pairing.confirmation))
            if self.is_busy and any(one.is_connected for one in self._participants.values()):
                self._remove(participant.id, "busy")
                await participant.signaler.message(encode(Refused("busy")))
                return
        else:
            self._unanswered_confirms -= 1
        for id in [id for id in self._participants if id != participant.id]:
            self._remove(id, "superseded")
        self._connect(participant)

    async def _refuse_code(self, participant: Participant) -> None:
        self._participants.pop(participant.id, None)
        self._guesses += 1
        logger.warning("pairing: a wrong code was tried: %d of %d", self._guesses, MAX_GUESSES)
        await participant.signaler.message(encode(Refused("wrong-code")))
        if self._side is PairingSide.RECEIVER:
            raise WrongPairingCode
        if self._guesses >= MAX_GUESSES:
            raise PairingCodeUsedUp(self._guesses)

    def _on_refused(self, participant: Participant, refused: Refused) -> None:
        # Before pairing anyone in the room may send this to a sender, which then waits for others.
        if self._side is PairingSide.RECEIVER or participant.pairing.is_paired:
            is_busy = refused.reason == "busy" and participant.pairing.is_paired
            self._remove(participant.id, "busy" if is_busy else "refused")
            if is_busy:
                self._retry_later(participant.id)
                return
            if refused.reason == "fingerprints":
                raise FingerprintMismatch
            raise WrongPairingCode
        self._remove(participant.id, "refused")

    def _retry_later(self, id: str) -> None:
        self.on_busy()
        retry = asyncio.create_task(self._retry(id), name="asking a busy sender again")
        self._retries.add(retry)
        retry.add_done_callback(self._retries.discard)

    async def _retry(self, id: str) -> None:
        await asyncio.sleep(BUSY_RETRY_SECONDS)
        for info in self._client.peers:
            if info.id == id and id not in self._participants:
                self._approach(info)

    def _connect(self, participant: Participant) -> None:
        peer = participant.make_peer(
            self._client, self._side, self._configuration, self._connect_timeout
        )
        self._pump.peers.start(peer, peer.run())
        peer.connection.on("connectionstatechange", lambda: self._pump.suspect(peer))
        if self._side is PairingSide.RECEIVER:
            peer.start()
        self._paired.put(peer)
