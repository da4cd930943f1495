"""Playout clock: plays the audio of all tracks of an event loop, each of them every 20 ms.

Decoding 20 ms of Opus takes less time than waking a thread and the loop again, and two threads that
want Python's lock hold each other up. So the loop itself plays, by a timer, unless its tracks are
so many that other callbacks would wait: then they share a thread, which wakes once for all that are
due, and wakes the loop once for all that they have played. Either runs only while there is
something to play; the thread is a daemon thread, so that it does not keep the program alive.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from logging import Logger
from typing import Protocol
from weakref import WeakKeyDictionary, ref

from icefloe.logs import get_logger

from .playout_schedule import TICK, PlayoutSchedule
from .remote_track import AnyFrame, FrameQueue

IDLE_TIMEOUT = 30.0
"""Seconds without input after which a track gives up its place among the decoders; and seconds
without any track that plays after which the thread ends. The next packet starts both again."""

MOST_IN_LOOP = 64
"""Number of tracks that the event loop plays itself: 16 at each of the four ticks of 20 ms, which
takes it a millisecond. With one more a thread plays all, until none plays any more."""

_SHORTEST_TIMER = 0.001
"""Seconds; some event loops take a shorter timer for none, and would wake in vain."""

TIME_SLICE = 0.005
"""Seconds for which the loop plays in one turn, of what is due since it was held up."""

_IDLE_CHECK = 1.0
"""Minimum seconds between two looks for idle tracks while others play."""

logger: Logger = get_logger(__name__)


class Player(Protocol):
    """A track as the clock knows it. The lock of the clock protects what both threads use."""

    @property
    def frames(self) -> FrameQueue[AnyFrame]:
        """The queue of its frames."""

    def play(self, due: float) -> bool:
        """Play 20 ms; return whether somebody waits for them. Called without the lock.

        Args:
            due: The time of the tick, in seconds of ``time.monotonic()``.
        """

    def wants_to_play(self) -> bool:
        """Return whether it has something to play, or will have. Called with the lock."""

    def give_up_place(self) -> None:
        """Leave the pool of decoders: it has been idle for long. Called with the lock."""

    def end(self) -> None:
        """Finish: it was closed, or has failed. Called with the lock."""


class PlayoutClock:
    """Plays the tracks of one event loop; see :func:`playout_clock`.

    Attributes:
        changed: The lock, for what the loop's thread and the clock's use.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.changed = threading.Condition()
        self._loop = ref(loop)
        self._schedule: PlayoutSchedule[Player] = PlayoutSchedule()
        self._idle: dict[Player, float] = {}
        """Players that have nothing to play, and since when."""
        self._playing: Player | None = None
        self._closing: set[Player] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._late: list[tuple[float, list[Player]]] = []
        """Ticks that have passed and are to be played in later turns of the loop."""
        self._has_read = False
        """True if the loop has read its sockets since the timer was late."""
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()
        self._idle_checked_at = 0.0

    def start(self, player: Player) -> bool:
        """Play a track from the next tick on; return whether that is possible.

        Called in the event loop, with the lock held. No-op if it plays already.
        """
        self._idle.pop(player, None)
        self._schedule.join(player, time.monotonic())
        if self._thread is None:
            if len(self._schedule) <= MOST_IN_LOOP:
                self._set_timer()
                return True
            ended = asyncio.Event()
            thread = threading.Thread(
                target=self._run, args=(ended,), name="audio-decoder", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the system allows no more threads
                self._schedule.leave(player)
                logger.warning("a track is not decoded: %s", error)
                return False
            self._thread, self._ended = thread, ended
            self._cancel_timer()
        elif len(self._schedule) == 1:
            self.changed.notify()  # it sleeps until one is due
        return True

    def close(self, player: Player) -> None:
        """End a player, at once or when it has played what it is at. The lock must be held.

        Called in the event loop, or in the clock's thread.
        """
        self._schedule.leave(player)
        self._idle.pop(player, None)
        if self._playing is player:
            self._closing.add(player)
        else:
            player.end()
        if self._thread is None:
            self._set_timer()
        self.changed.notify()

    async def wait_until_unused(self) -> None:
        """Wait until the thread has ended, if nobody needs it any more.

        Cancellation: safe.
        """
        with self.changed:
            thread = None if len(self._schedule) or self._idle else self._thread
            ended = self._ended
        if thread is not None:
            await ended.wait()
            # The thread sets the event as its last action, so joining takes microseconds.
            thread.join()

    # In the event loop.

    def _set_timer(self) -> None:
        """Have the loop play what is due next. The lock is held."""
        if self._late:
            if self._timer is None:
                self._arm(0)
            return
        due = self._schedule.due
        if due is None and self._idle:
            wanted = min(self._idle.values()) + IDLE_TIMEOUT
            due = max(wanted, self._idle_checked_at + _IDLE_CHECK)
        if due is None:
            self._cancel_timer()
            return
        if self._timer is not None:
            if self._timer_at == due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._arm(due - time.monotonic())

    def _arm(self, delay: float) -> None:
        loop = self._loop()
        self._timer = None
        if loop is not None and not loop.is_closed():
            self._timer = loop.call_later(
                max(delay, _SHORTEST_TIMER) if delay > 0 else 0, self._on_timer
            )

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        with self.changed:
            now = time.monotonic()
            self._timer = None
            if now - self._timer_at > TICK and not self._has_read and not self._late:
                self._has_read = True
                self._arm(0)  # the loop was held up: what has come meanwhile is read first
                return
            self._has_read = False
            self._give_up_idle(now)
            due = self._schedule.due
            if not self._late and due is not None and due <= now:
                self._late = self._schedule.take(now)
        waiting: list[FrameQueue[AnyFrame]] = []
        while self._late:
            waiting += self._play_all([self._late.pop(0)])
            if time.monotonic() - now > TIME_SLICE:
                break
        _wake(waiting)
        with self.changed:
            if self._thread is None:
                self._set_timer()

    # In the thread, if there is one.

    def _run(self, ended: asyncio.Event) -> None:
        while True:
            with self.changed:
                ticks, self._late = self._late or self._wait(), []
                if ticks is None:
                    break
            waiting = self._play_all(ticks)
            if waiting and not self._call_loop(partial(_wake, waiting)):
                with self.changed:
                    self._abandon()
        self._call_loop(ended.set)

    def _wait(self) -> "list[tuple[float, list[Player]]] | None":
        """Wait until somebody plays; ``None`` ends the thread. The lock is held."""
        while True:
            now = time.monotonic()
            self._give_up_idle(now)
            due = self._schedule.due
            if due is None and not self._idle:
                self._thread = None
                return None
            if due is not None and due <= now:
                return self._schedule.take(now)
            self.changed.wait(IDLE_TIMEOUT if due is None else due - now)

    # In either.

    def _play_all(self, ticks: "list[tuple[float, list[Player]]]") -> "list[FrameQueue[AnyFrame]]":
        """Play ticks, and return the queues for whose frames somebody waits."""
        waiting: list[FrameQueue[AnyFrame]] = []
        for due, players in ticks:
            waiting += [p.frames for p in players if self._play(p, due)]
        return waiting

    def _play(self, player: Player, due: float) -> bool:
        with self.changed:
            if player not in self._schedule:  # it was closed since
                return False
            self._playing = player
        failed = is_awaited = False
        try:
            is_awaited = player.play(due)
        except Exception:
            logger.exception("a decoder failed; its track ends")
            failed = True
        with self.changed:
            self._playing = None
            if failed or player in self._closing:
                self._closing.discard(player)
                self._schedule.leave(player)
                player.end()
            elif not player.wants_to_play():
                self._schedule.leave(player)
                self._idle[player] = time.monotonic()
        return is_awaited

    def _give_up_idle(self, now: float) -> None:
        if not self._idle or now - self._idle_checked_at < _IDLE_CHECK:
            return
        self._idle_checked_at = now
        for player in [p for p, since in self._idle.items() if now - since >= IDLE_TIMEOUT]:
            del self._idle[player]
            player.give_up_place()

    def _abandon(self) -> None:
        """End all: the loop is closed, so nobody hears them."""
        for player in (*self._schedule.members, *self._idle):
            self.close(player)

    def _call_loop(self, call: Callable[[], object]) -> bool:
        """Have the loop call something; return whether there is a loop."""
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(call)
        except RuntimeError:  # it is closed
            return False
        return loop is not None


def _wake(queues: list[FrameQueue[AnyFrame]]) -> None:
    for queue in queues:
        queue.wake()


_clocks: "WeakKeyDictionary[asyncio.AbstractEventLoop, PlayoutClock]" = WeakKeyDictionary()
_lock = threading.Lock()


def playout_clock() -> PlayoutClock:
    """Return the clock of the running event loop."""
    loop = asyncio.get_running_loop()
    with _lock:
        clock = _clocks.get(loop)
        if clock is None:
            clock = _clocks[loop] = PlayoutClock(loop)
        return clock
