"""The estimator with feedback as it is on the wire, over simulated links in virtual time."""

from functools import partial

import pytest

from icefloe.peer.rtp.congestion.feedback_reader import TransportFeedbackReader
from icefloe.peer.rtp.congestion.feedback_recorder import FeedbackRecorder
from icefloe.peer.rtp.congestion.report_schedule import PACKET_OVERHEAD
from icefloe.peer.rtp.congestion.transport_feedback import TransportFeedback
from tests.peer.rtp.congestion.link import Flow, Link, World


class WireFlow(Flow):
    """A flow of which feedback is recorded, written, and read."""

    def _begin(self) -> None:
        self.recorder = FeedbackRecorder(1)
        self.feedback_bytes = 0
        self._is_due = False
        super()._begin()
        self.reader = TransportFeedbackReader(self.estimator.history)

    def _emit(self, size: int, probe: int | None) -> None:
        now = self.world.now
        packet = self.estimator.on_sent(size, now, probe)
        arrival = self.link.send(now, size, extra=self.extra_delay)
        if arrival is not None:
            self.world.at(arrival, partial(self._arrived, packet.number & 0xFFFF, size))

    def _feedback(self) -> None:
        """Leave it to the recorder."""

    def _arrived(self, number: int, size: int) -> None:
        self.received.append((self.world.now, size))
        self.recorder.on_packet(number, self.world.now + self.clock, size, 2)
        due = self.recorder.deadline
        if due < float("inf") and not self._is_due:
            self._is_due = True
            self.world.at(due - self.clock + 1e-6, self._report)

    def _report(self) -> None:
        self._is_due = False
        for packet in self.recorder.handle_timeout(self.world.now + self.clock):
            self.feedback_bytes += len(packet) + PACKET_OVERHEAD
            back = self.back.send(self.world.now, len(packet), extra=self.extra_delay)
            if back is not None:
                self.world.at(back, partial(self._told, packet))

    def _told(self, packet: bytes) -> None:
        now = self.world.now
        self.estimator.on_feedback(self.reader.read(TransportFeedback.parse(packet)), now)
        self._maintain()


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_the_estimator_fills_a_link(loss: float) -> None:
    world = World()
    link, back = Link(3e6, delay=0.03, loss=loss), Link(100e6, delay=0.03, loss=loss)
    flow = WireFlow(world, link, back, clock=1_073_733.0)  # the reference time wraps around
    world.run(15)
    assert 0.75 * 3e6 < flow.rate(7, 15) < 3e6
    assert link.percentile(0.9, 7, 15) < 0.15
    assert flow.estimator.history.unknown == 0
    assert flow.feedback_bytes < 0.05 * sum(size for _, size in flow.received)
