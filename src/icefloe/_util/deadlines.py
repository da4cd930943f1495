"""Time limits for code that waits for the deadline of a state machine."""

import asyncio


def timeout_at(deadline: float) -> asyncio.Timeout:
    """Return ``asyncio.timeout_at()`` of a deadline on the loop's clock; infinite is never."""
    return asyncio.timeout_at(deadline if deadline < float("inf") else None)
