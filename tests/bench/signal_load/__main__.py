"""The process that loads a signaling server: one command a line on standard input, JSON back.

Another process tells it what to do, see :mod:`tests.bench.signaling`.
"""

import json
import os
import sys
from typing import Any

from tests.bench.signal_load import loads
from tests.bench.signal_load.dialects import DIALECTS, Payload
from tests.bench.signal_load.sockets import Crowd, Refused


def _run(crowd: Crowd, order: dict[str, Any]) -> dict[str, Any]:
    payload = Payload(order.get("payload", Payload.CANDIDATE))
    match order["do"]:
        case "join":
            seconds, took = crowd.join(order["count"], order["at_once"])
            took.sort()
            p50, p99 = took[len(took) // 2], took[-1 - len(took) // 100]
            return {"seconds": seconds, "p50": p50, "p99": p99}
        case "saturate":
            return loads.saturate(crowd, payload, order["seconds"], order["window"]).as_dict()
        case "steady":
            return loads.steady(crowd, payload, order["seconds"], order["rate"]).as_dict()
        case "flood":
            return {"written": loads.flood(crowd, payload, order["seconds"])}
        case "settle":
            crowd.settle(order["seconds"])
            return {}
    raise ValueError(order["do"])


def main() -> None:
    """Do what the lines of standard input say until it ends."""
    setting = json.loads(sys.argv[1])
    addresses = [(host, port) for host, port in setting["addresses"]]
    os.nice(setting["nice"])
    crowd = Crowd(addresses, DIALECTS[setting["dialect"]], setting["first"])
    try:
        for line in sys.stdin:
            try:
                answer = _run(crowd, json.loads(line))
            except Refused as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)
    finally:
        crowd.close()


if __name__ == "__main__":
    main()
