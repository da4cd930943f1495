"""Capacity of a coturn on one core: seconds of its processor for each stream and Mbit.

``python -m tests.bench.turn_capacity`` starts coturn with ``icefloe turn-config``'s configuration,
pinned to one core (``taskset``), and has it relay packets of 1,200 bytes over loopback: each stream
goes from an allocation of its own by ChannelData to a UDP socket, and as many packets go back. The
processor time of coturn's process is read from /proc, so that a busy machine hardly changes it; the
time of the senders and the rate of the clock do not matter.
"""

import argparse
import os
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from aioice import stun
from aioice.turn import UDP_TRANSPORT, make_integrity_key

from icefloe._turn_config import TurnConfig, coturn_configuration
from icefloe.signaling.turn_credentials import mint

SIZE = 1200
"""Bytes of a packet, without ChannelData's header."""

STREAM = 2_500_000
"""Bits a second of a video stream."""

SECRET = "0123456789abcdef0123456789abcdef"
HOST = "127.0.0.1"
CHANNEL = 0x4000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Result:
    """Traffic that was relayed, and its cost.

    Attributes:
        streams: Allocations that were relayed at a time.
        delivered: Packets that arrived at the other side of coturn.
        sent: Packets that were sent to it.
        cpu: Seconds of the processor that coturn took.
        idle: The same for as long without a packet.
    """

    streams: int
    delivered: int
    sent: int
    cpu: float
    idle: float

    @property
    def megabits(self) -> float:
        """Megabits that were delivered."""
        return self.delivered * SIZE * 8 / 1e6

    def __str__(self) -> str:
        per_megabit = (self.cpu - self.idle) / self.megabits
        streams = 1 / (per_megabit * STREAM / 1e6)
        return (
            f"{self.streams:4} streams: {self.delivered} of {self.sent} packets delivered,"
            f" {self.cpu:.2f} s of processor, {self.idle:.2f} s idle;"
            f" {1e6 * (self.cpu - self.idle) / self.delivered:.1f} us a packet,"
            f" {1e3 * per_megabit:.3f} ms a Mbit, {100 * per_megabit * STREAM / 1e6:.3f} % of a"
            f" core for a stream of 2.5 Mbit/s; a core has {streams:.0f} streams or"
            f" {1 / per_megabit:.0f} Mbit/s"
        )


class Allocation:
    """An allocation with one channel, by blocking sockets: asyncio would cost more than coturn."""

    def __init__(self, port: int, number: int, sink: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.connect((HOST, port))
        self._user, self._password = mint(SECRET, f"stream-{number}", time.time(), 3600)
        self._realm, self._nonce, self._key = "", b"", b""
        allocated = self._ask(stun.Method.ALLOCATE, {"REQUESTED-TRANSPORT": UDP_TRANSPORT})
        self.relayed: tuple[str, int] = allocated.attributes["XOR-RELAYED-ADDRESS"]
        bind = {"CHANNEL-NUMBER": CHANNEL, "XOR-PEER-ADDRESS": sink}
        self._ask(stun.Method.CHANNEL_BIND, bind)
        self.socket.setblocking(False)

    def _ask(self, method: stun.Method, attributes: dict[str, object]) -> stun.Message:
        for _ in range(2):
            request = stun.Message(method, stun.Class.REQUEST, attributes=dict(attributes))
            if self._key:
                request.attributes.update(
                    {"USERNAME": self._user, "REALM": self._realm, "NONCE": self._nonce}
                )
                request.add_message_integrity(self._key)
            self.socket.send(bytes(request))
            answer = stun.parse_message(self.socket.recv(2048))
            if answer.message_class == stun.Class.RESPONSE:
                return answer
            if answer.error_code != 401 or self._key:
                raise RuntimeError(f"coturn refused: {answer}")
            self._realm, self._nonce = answer.attributes["REALM"], answer.attributes["NONCE"]
            self._key = make_integrity_key(self._user, self._realm, self._password)
        raise RuntimeError("coturn refused the credentials")


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process, user and system, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def drain(receiver: socket.socket) -> int:
    """Take what has arrived; return the number of packets."""
    taken = 0
    while True:
        try:
            receiver.recv(2048)
        except BlockingIOError:
            return taken
        taken += 1


def measure(pid: int, port: int, streams: int, packets: int) -> Result:
    """Relay packets both ways for some allocations.

    Args:
        pid: The process of coturn.
        port: Its port.
        streams: The number of allocations.
        packets: Packets in each direction, of all together.
    """
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sink.bind((HOST, 0))
    sink.setblocking(False)
    held = [Allocation(port, number, sink.getsockname()) for number in range(streams)]
    payload = os.urandom(SIZE)
    framed = struct.pack("!HH", CHANNEL, SIZE) + payload
    began, before = time.monotonic(), processor_seconds(pid)
    sent = delivered = 0
    while sent < 2 * packets:
        # A burst that fits into the buffers of coturn's sockets, and a pause until it has been
        # taken; a call sends no faster.
        for allocation in held:
            allocation.socket.send(framed)
            sink.sendto(payload, allocation.relayed)
            sent += 2
            if sent % 64 == 0:
                time.sleep(0.002)
                delivered += drain(sink)
        delivered += sum(drain(allocation.socket) for allocation in held)
    time.sleep(0.3)
    delivered += drain(sink) + sum(drain(allocation.socket) for allocation in held)
    cpu, took = processor_seconds(pid) - before, time.monotonic() - began
    before = processor_seconds(pid)
    time.sleep(min(took, 5))
    idle = (processor_seconds(pid) - before) * took / min(took, 5)
    for allocation in held:
        allocation.socket.close()
    sink.close()
    return Result(streams, delivered, sent, cpu, idle)


def run(streams: list[int], packets: int, core: int) -> list[Result]:
    """Start coturn on a core, and measure each number of streams in turn."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    config = TurnConfig(
        realm="bench.invalid", port=port, rate=10_000_000_000, allowed=("127.0.0.0/8",)
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "turnserver.conf")
        file.write_text(coturn_configuration(config, (SECRET,)))
        process = subprocess.Popen(
            [
                *(
                    "taskset",
                    "-c",
                    str(core),
                    "turnserver",
                    "-c",
                    str(file),
                    "--listening-ip",
                    HOST,
                ),
                *("--relay-ip", HOST, "--allow-loopback-peers", "--relay-threads", "1"),
                *("--userdb", f"{folder}/db", "--pidfile", f"{folder}/pid"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_it_listens(port)
            return [measure(process.pid, port, number, packets) for number in streams]
        finally:
            process.terminate()
            process.wait()


def _wait_until_it_listens(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("coturn does not listen")


def main() -> None:
    """Measure, and print a line for each number of streams."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 20, 100])
    parser.add_argument("--packets", type=int, default=60_000)
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    for result in run(arguments.streams, arguments.packets, arguments.core):
        print(result)


if __name__ == "__main__":
    main()
