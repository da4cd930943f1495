"""A call with media and data channels over one link, in virtual time."""

from functools import partial

from icefloe.peer.rtp.send.data_share import DATA_OVERHEAD, DataProgress
from icefloe.peer.sctp.association import Association
from icefloe.peer.sctp.inbound import Arrival
from icefloe.peer.sctp.outbound import Message
from icefloe.peer.sctp.states import Settings, State
from tests.helpers.sctp import OVERHEAD
from tests.peer.rtp.congestion.link import Link, World
from tests.peer.rtp.simulated_transport import Media, Transport

BLOCK = 65_536
BACKLOG = 1 << 20
"""Bytes that wait to be sent while a transfer has no end."""


class Data:
    """An association over a link, whose other end is the receiver of a transfer.

    Args:
        world: The time.
        link: The way there.
        back: The way back.
    """

    def __init__(self, world: World, link: Link, back: Link) -> None:
        self.world = world
        self.sender, self.receiver = (
            Association(Settings(tag=n, tsn=n, secret=bytes([n]) * 16)) for n in (1, 2)
        )
        self._ways = {self.sender: (link, self.receiver), self.receiver: (back, self.sender)}
        self._wakes_at = dict.fromkeys(self._ways, float("inf"))
        self.received: list[tuple[float, int]] = []
        self._is_endless = False
        for association in self._ways:
            association.connect(0.0)
            self._flush(association)
        world.run(1.0)
        assert self.sender.state is State.ESTABLISHED

    def send_without_end(self) -> None:
        self._is_endless = True
        self._flush(self.sender)

    def send(self, size: int) -> None:
        """Send one message."""
        self.sender.send(Message(0, 53, bytes(size)))
        self._flush(self.sender)

    def stop(self) -> None:
        """Send what waits, and no more."""
        self._is_endless = False
        self.sender.queue.clear(0)

    def limit(self, rate: float) -> None:
        assert self.sender.sender is not None
        self.sender.sender.limit = rate
        self._flush(self.sender)

    def progress(self) -> DataProgress:
        assert self.sender.sender is not None
        return DataProgress(*self.sender.sender.progress)

    def _flush(self, association: Association) -> None:
        now = self.world.now
        if association is self.sender and self._is_endless:
            while association.queue.size < BACKLOG:
                association.send(Message(0, 53, bytes(BLOCK)))
        link, other = self._ways[association]
        packets = association.take_datagrams(now)
        if (probe := association.take_probe()) is not None:
            packets.append(probe)
        for packet in packets:
            arrival = link.send(now, len(packet) + OVERHEAD)
            if arrival is not None:
                self.world.at(arrival, partial(self._arrived, other, packet))
        while (event := association.poll_event()) is not None:
            if isinstance(event, Arrival):
                self.received.append((now, len(event.data)))
        association.poll_changes()
        deadline = association.deadline
        if deadline < self._wakes_at[association]:
            self._wakes_at[association] = deadline
            self.world.at(max(deadline, now + 1e-4), partial(self._wake, association, deadline))

    def _arrived(self, association: Association, packet: bytes) -> None:
        association.receive(packet, self.world.now)
        self._flush(association)

    def _wake(self, association: Association, due: float) -> None:
        if due != self._wakes_at[association]:
            return  # it was to wake earlier, and did
        self._wakes_at[association] = float("inf")
        if association.deadline <= self.world.now:
            association.handle_timeout(self.world.now)
        self._flush(association)

    def delivered(self) -> int:
        return self.progress().delivered


class Call(Transport):
    """Media and data of one connection over one link."""

    def __init__(self, link: Link, *media: Media, delay: float = 0.025) -> None:
        super().__init__(link, *media)
        self.back.delay = delay
        self.data_rates: list[tuple[float, int]] = []
        self.channels = Data(self.world, link, self.back)
        self._limit = float("inf")
        self.is_shared = True
        self._watch()

    def _watch(self) -> None:
        self.data_rates.append((self.world.now, self.channels.delivered()))
        self.world.at(self.world.now + 0.1, self._watch)

    def join(self, media: Media) -> None:
        """Begin to send media."""
        self.media = *self.media, media
        self._tick(len(self.media) - 1, self.control.add(media, self.world.now))

    def every(self, seconds: float, size: int) -> None:
        """Send a message of some bytes, again and again."""
        self.channels.send(size)
        self.world.at(self.world.now + seconds, partial(self.every, seconds, size))

    def _run(self) -> None:
        channels: Data | None = getattr(self, "channels", None)
        if channels is None or not self.is_shared:
            super()._run()  # it begins before there are data channels
            return
        self.control.on_data(channels.progress(), self.world.now)
        super()._run()
        if (limit := self.control.data.bytes_per_second) != self._limit:
            self._limit = limit
            channels.limit(limit)

    def data_rate(self, start: float, end: float) -> float:
        """Return the bits per second on the wire that data took."""
        some = [each for each in self.data_rates if start - 0.05 <= each[0] <= end + 0.05]
        (first, before), (last, after) = some[0], some[-1]
        return (after - before) * 8 * DATA_OVERHEAD / (last - first)
