"""The benchmark of signaling servers loads what it says. Nothing of time."""

import pytest

from tests.bench import signaling
from tests.bench.signal_load.servers import DEFAULTS, ICEFLOE, LoadFailed, generator, running
from tests.bench.signaling import PARTS, Plan

SMALL = Plan(rounds=1, seconds=0.5, pairs=2, joins=20, connections=(20,))


@pytest.mark.system("nodejs", "peer")
@pytest.mark.parametrize("part", ["relay", "steady", "joins", "idle"])
def test_both_servers_are_measured(part: str) -> None:
    section = PARTS[part](SMALL)
    servers = {row[0].rpartition(", ")[2] for row in section.rows}
    assert {"icefloe", "PeerServer"} <= servers | {row[0] for row in section.rows}


def test_two_servers_that_run_already_have_one_end_of_each_pair_each() -> None:
    # Not of one cluster, so that nobody finds a partner: which is what the load notices.
    with running(ICEFLOE, None) as one, running(ICEFLOE, None) as two:
        plan = Plan(rounds=1, seconds=0.2, pairs=2, urls=(*one.urls, *two.urls))
        with pytest.raises(LoadFailed):
            signaling.relay(plan)


def test_a_server_that_limits_the_rate_is_noticed() -> None:
    with running(DEFAULTS, None) as server, generator(server, "icefloe", None) as clients:
        clients.ask("join", count=2, at_once=2)
        with pytest.raises(LoadFailed, match="rate-limited"):
            clients.ask("saturate", payload="candidate", seconds=2.0, window=8)
