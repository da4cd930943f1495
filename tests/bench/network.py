"""Two hosts in namespaces of their own and the link between them, for benchmarks."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.natlab.fast_wire import Counts, FastWire, start_fast_wire
from tests.natlab.namespace import Namespace
from tests.natlab.spec import Wire
from tests.natlab.wires import start_wire

DEVICE = "eth0"
ADDRESSES = ("198.18.7.1", "198.18.7.2")
"""The hosts' addresses: RFC 2544's benchmarking range."""

_MACS = ("02:00:00:00:07:01", "02:00:00:00:07:02")

_QUEUE = 20000
"""Packets that a device keeps for a wire whose process is not running at the moment."""


@dataclass(frozen=True, slots=True)
class Network:
    """Two hosts and a link; the first host is the lower end of the wire.

    Attributes:
        hosts: Their namespaces.
        wire: What carries the packets, if it is the fast wire.
    """

    hosts: tuple[Namespace, Namespace]
    wire: FastWire | None

    async def counts(self) -> Counts | None:
        """Return what has become of the packets, where that is counted."""
        return await self.wire.counts() if self.wire is not None else None

    async def dropped(self) -> int:
        """Return how many packets the hosts' devices lost, because nobody took them in time."""
        told = [
            json.loads(await host.run("ip", "-json", "-stats", "link", "show", DEVICE))[0]
            for host in self.hosts
        ]
        return sum(device["stats64"]["tx"]["dropped"] for device in told)

    async def receive_buffer_errors(self, host: int) -> int:
        """Return how many datagrams found no room in the buffer of their socket."""
        lines = (await self.hosts[host].run("cat", "/proc/net/snmp")).splitlines()
        names, values = (line.split()[1:] for line in lines if line.startswith("Udp:"))
        return int(values[names.index("RcvbufErrors")])


@asynccontextmanager
async def network(wire: Wire | None, program: Path | None) -> AsyncIterator[Network]:
    """Link two hosts until the end of the block.

    Args:
        wire: What the link does to packets; ``None`` is a pair of virtual Ethernet devices, which
            costs next to nothing.
        program: The compiled wire; ``None`` is the slow one.
    """
    async with AsyncExitStack() as stack:
        hosts = Namespace(), Namespace()
        for host in hosts:
            stack.callback(host.close)
        fast = None
        if wire is None:
            # Were both ends to have the same index, the kernel might take a second to notice.
            await hosts[0].run(
                *f"ip link add {DEVICE} index 100 type veth peer name {DEVICE} index 101"
                f" netns {hosts[1].path}".split()
            )
        else:
            lower, upper = (hosts[0], DEVICE), (hosts[1], DEVICE)
            if program is None:
                running = await start_wire(lower, upper, wire)
                stack.push_async_callback(running.close)
            else:
                fast = await start_fast_wire(program, lower, upper, wire)
                stack.push_async_callback(fast.close)
        for number, host in enumerate(hosts):
            await host.run("sh", "-e", stdin=set_up(number))
        yield Network(hosts, fast)


def set_up(number: int) -> str:
    """Return the shell script that sets a host up, which has its device.

    Nothing travels but what the programs there send.

    The way out leads to the other host, which forwards nothing: browsers look which of their
    addresses would be used for it.
    """
    other = 1 - number
    return f"""
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
ip -batch - <<'END'
link set lo up
link set {DEVICE} address {_MACS[number]} txqueuelen {_QUEUE}
address add {ADDRESSES[number]}/24 dev {DEVICE}
link set {DEVICE} up
neighbour add {ADDRESSES[other]} lladdr {_MACS[other]} nud permanent dev {DEVICE}
route add default via {ADDRESSES[other]}
END
"""
