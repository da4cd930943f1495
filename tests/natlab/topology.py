"""``Lab``: an internet in network namespaces, with the kernel's own NAT.

Every router, peer and server is a namespace; they are linked with each other and never with the
machine's network::

    async with Lab(LabSpec(peers=(Peer("a", ("ra",)), Peer("b")), routers=(Router("ra"),))) as lab:
        print(await lab.run("a", "ip", "address"))
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Self

from tests.natlab.namespace import Namespace
from tests.natlab.plan import PUBLIC, PUBLIC_GATEWAY, SERVERS, Address, Link, Plan, plan
from tests.natlab.rules import What, core_rules, cut_rules, router_rules
from tests.natlab.spec import CORE, LabSpec, Router, Wire
from tests.natlab.wires import RunningWire, start_wire

# Frames that a bridge passes on would go through the NAT hooks too, and hairpinned ones be lost.
_ROUTING = """
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
for hook in iptables ip6tables; do
  switch=/proc/sys/net/bridge/bridge-nf-call-$hook
  if [ -e $switch ]; then echo 0 > $switch; fi
done
"""

# IPv6 addresses, link-local ones too, are used at once and not after a look for duplicates.
_ADDRESSES_AT_ONCE = """
for switch in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 > $switch; done
"""

_FIRST_INDEX = 100


class Lab:
    """A running lab, as an async context manager.

    Args:
        spec: What it is made of.

    Attributes:
        spec: The same.
        plan: Its links and addresses, as they are now.
    """

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec
        self.plan: Plan = plan(spec)
        self._namespaces: dict[str, Namespace] = {}
        self._wires: dict[str, RunningWire] = {}
        self._routers: dict[str, Router] = {router.name: router for router in spec.routers}
        self._cuts: list[tuple[tuple[str, ...], tuple[str, ...] | None, What]] = []
        self._stack = AsyncExitStack()

    # --- up and down

    async def __aenter__(self) -> Self:
        async with self._stack:
            await self._build()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def stack(self) -> AsyncExitStack:
        """The processes that are to be ended with the lab, and before it."""
        return self._stack

    def __getitem__(self, node: str) -> Namespace:
        """Return the namespace of a peer, a router, the core or the public servers."""
        return self._namespaces[node]

    async def run(self, node: str, *arguments: str, stdin: str = "") -> str:
        """Run a command at a node to its end; return what it printed.

        Raises:
            CommandFailed: It ended with an error.
        """
        return await self._namespaces[node].run(*arguments, stdin=stdin)

    async def _build(self) -> None:
        peers = [peer.name for peer in self.spec.peers]
        for node in (CORE, PUBLIC, *self._routers, *peers):
            self._namespaces[node] = namespace = Namespace()
            self._stack.callback(namespace.close)
        await self._connect()
        async with asyncio.TaskGroup() as group:
            for node, namespace in self._namespaces.items():
                group.create_task(namespace.run("sh", "-e", stdin=self._setup(node)))

    async def _connect(self) -> None:
        pairs = [(PUBLIC, "eth0", CORE, "servers")]
        for link in self.plan.links:
            if link.wire is not None:
                await self._add_wire(link, link.wire)
            else:
                pairs.append((link.node, link.device, link.upper, link.upper_device))
        # Were both ends to have the same index, the kernel might take a second to notice the link.
        commands = (
            f"link add {device} index {_FIRST_INDEX + 2 * number}"
            f" netns {self[node].path} type veth"
            f" peer name {upper_device} index {_FIRST_INDEX + 2 * number + 1}"
            f" netns {self[upper].path}\n"
            for number, (node, device, upper, upper_device) in enumerate(pairs)
        )
        await self.run(CORE, "ip", "-batch", "-", stdin="".join(commands))

    async def _add_wire(self, link: Link, wire: Wire) -> None:
        running = await start_wire(
            (self[link.node], link.device), (self[link.upper], link.upper_device), wire
        )
        self._stack.push_async_callback(running.close)
        self._wires[f"{link.node}/{link.device}"] = running

    def _setup(self, node: str) -> str:
        """Return the shell script that gives a node its interfaces, routes and rules."""
        script = _ADDRESSES_AT_ONCE
        ip = ["link set lo up"]
        rules = ""
        if node == CORE:
            script += _ROUTING
            ip += ["link set servers up", f"address add {PUBLIC_GATEWAY[0]}/24 dev servers"]
            ip += [f"address add {PUBLIC_GATEWAY[1]}/64 dev servers nodad"]
            rules = core_rules(self.plan.broken)
        elif node == PUBLIC:
            ip += ["link set eth0 up"]
            for ipv4, ipv6 in SERVERS:
                ip += [f"address add {ipv4}/24 dev eth0", f"address add {ipv6}/64 dev eth0 nodad"]
            ip += [f"route add default via {gateway}" for gateway in PUBLIC_GATEWAY]
        elif node in self._routers:
            script += _ROUTING
            ip += ["link add lan type bridge", "link set lan up"]
            ip += [f"address add {lan} dev lan{_nodad(lan)}" for lan in self._lan(node)]
            rules = router_rules(self._routers[node], self.address(node))
        for link in self.plan.links:
            if link.upper == node:
                ip += _upper_end(link)
        for link in self.plan.links_of(node):
            if not link.is_down:
                ip += _bring_up(link)
        script += _batch(ip)
        return script + (f"nft -f - <<'END'\n{rules}\nEND\n" if rules else "")

    def _lan(self, router: str) -> tuple[str, ...]:
        return self.plan.lans[router].addresses

    # --- addresses

    def address(self, node: str) -> str:
        """Return the IPv4 address of a node's first link; of a router, the one it translates to."""
        return next(a.address for a in self.plan.links_of(node)[0].addresses if not a.is_ipv6)

    def _prefixes(self, node: str) -> tuple[str, ...]:
        return tuple(p for link in self.plan.top_links_of(node) for p in link.prefixes)

    # --- what happens at run time

    async def new_public_address(self, node: str) -> str:
        """Give a router or peer right below the core another IPv4 address, as some carriers do.

        Its mappings are lost with the old one.

        Returns:
            The new address.
        """
        link = self.plan.links_of(node)[0]
        if link.upper != CORE:
            raise ValueError(f"{node} has no public address")
        old = next(a for a in link.addresses if not a.is_ipv6)
        network, host = old.address.rsplit(".", 1)
        new = replace(old, address=f"{network}.{int(host) + 1}")
        kept = tuple(new if a == old else a for a in link.addresses)
        self._replace(link, replace(link, addresses=kept))
        await self.run(
            node,
            "ip",
            "-batch",
            "-",
            stdin=f"address del {old} dev {link.device}\naddress add {new} dev {link.device}\n"
            f"route replace default via {new.gateway} dev {link.device}"
            f"{_metric(link)}\n",
        )
        if node in self._routers:
            await self.flush_conntrack(node)
        return new.address

    def _replace(self, old: Link, new: Link) -> None:
        self.plan.links[self.plan.links.index(old)] = new

    async def flush_conntrack(self, router: str) -> None:
        """Make a router forget every mapping, as one that was switched off and on.

        Where the port is kept, the next packet gets the same mapping again.
        """
        rules = router_rules(self._routers[router], self.address(router))
        await self.run(router, "nft", "-f", "-", stdin=rules)
        await self.run(router, sys.executable, "-m", "tests.natlab.conntrack")

    async def link_down(self, node: str, device: str) -> None:
        """Take an interface down, and with it its addresses, as it is when a network is left."""
        link = next(link for link in self.plan.links_of(node) if link.device == device)
        commands = [f"link set {device} down", f"address flush dev {device}"]
        if device != "wan":
            commands += [_rule("delete", link, a) for a in link.addresses]
        await self.run(node, "sh", "-e", stdin=_batch(commands))

    async def link_up(self, node: str, device: str) -> None:
        """Bring an interface up, with its addresses and routes."""
        link = next(link for link in self.plan.links_of(node) if link.device == device)
        await self.run(node, "sh", "-e", stdin=_batch(_bring_up(link)))

    async def cut(self, node: str, other: str | None = None, what: What = What.EVERYTHING) -> None:
        """Lose packets in the core, silently, until :meth:`mend`.

        Args:
            node: Whose packets.
            other: Only those from and to this node or address; ``None`` is all of them, the
                servers' too.
            what: Whether all packets or only UDP.

        Raises:
            ValueError: Both are behind the same public address: the core is not between them.
        """
        ours = self._prefixes(node)
        theirs = None if other is None else self._prefixes(other) or (other,)
        if theirs is not None and set(ours) & set(theirs):
            raise ValueError(f"the core is not between {node} and {other}")
        self._cuts.append((ours, theirs, what))
        await self._apply_cuts()

    async def mend(self) -> None:
        """Take back every :meth:`cut`."""
        self._cuts.clear()
        await self._apply_cuts()

    async def _apply_cuts(self) -> None:
        await self.run(CORE, "nft", "-f", "-", stdin=cut_rules(self._cuts))

    async def set_wire(self, node: str, wire: Wire, device: str | None = None) -> None:
        """Change what the uplink of a node does to packets; it must have had a wire from the start.

        Args:
            node: The node.
            wire: What it does from now on.
            device: Which interface; the first by default.
        """
        device = device or self.plan.links_of(node)[0].device
        await self._wires[f"{node}/{device}"].change(wire)


def _nodad(address: str) -> str:
    return " nodad" if ":" in address else ""


def _metric(link: Link) -> str:
    # The first interface is preferred.
    return "" if link.device == "wan" else f" metric {100 + _table(link)}"


def _table(link: Link) -> int:
    return 1 + int(link.device.removeprefix("eth")) if link.device != "wan" else 0


def _upper_end(link: Link) -> list[str]:
    device = link.upper_device
    if link.upper != CORE:
        return [f"link set {device} master lan", f"link set {device} up"]
    return [
        f"link set {device} up",
        *(f"address add {own} dev {device}{_nodad(own)}" for own in link.gateways),
        *(f"route add {prefix} via {via} dev {device}" for prefix, via in link.routes),
    ]


def _bring_up(link: Link) -> list[str]:
    """Return the commands that give the lower end of a link its addresses and routes."""
    commands = [f"link set {link.device} up"]
    for address in link.addresses:
        default = f"default via {address.gateway} dev {link.device}"
        commands += [
            f"address replace {address} dev {link.device}{_nodad(address.address)}",
            f"route replace {default}{_metric(link)}",
        ]
        if link.device != "wan":
            # What has an interface's address leaves by it, also where another is preferred.
            commands += [
                f"route replace {address.network} dev {link.device} table {_table(link)}",
                f"route replace {default} table {_table(link)}",
                _rule("add", link, address),
            ]
    return commands


def _rule(what: str, link: Link, address: Address) -> str:
    family = "-6 " if address.is_ipv6 else ""
    table = _table(link)
    return f"{family}rule {what} from {address.address} lookup {table} preference {1000 + table}"


def _batch(commands: list[str]) -> str:
    """Return a shell script for commands of ``ip``; what cannot tell its family has it in front."""
    others = [command for command in commands if not command.startswith("-6 ")]
    ipv6 = [command.removeprefix("-6 ") for command in commands if command.startswith("-6 ")]
    return "".join(
        f"ip {option} -batch - <<'END'\n" + "\n".join(batch) + "\nEND\n"
        for option, batch in (("", others), ("-6", ipv6))
        if batch
    )
