"""Allocate and Refresh transactions of a TURN allocation (RFC 8656 sections 7 and 8)."""

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Any

from aioice import stun
from aioice.turn import UDP_TRANSPORT

from .attributes import REQUESTED_ADDRESS_FAMILY
from .channels import Peer
from .transactions import ALLOCATION_MISMATCH, Transactions, describe_error, within

REFRESH_AHEAD = 60.0
"""Seconds before its expiry at which an allocation is refreshed, so that a network outage of this
length is survived. Not earlier than after half the lifetime."""

REFRESH_RETRY_DELAY = 5.0
"""Seconds between a 5xx response to a refresh and the next attempt."""

_FAMILIES = {4: 0x01000000, 6: 0x02000000}
"""Values of REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.6)."""


@dataclass(frozen=True, slots=True)
class AllocateResult:
    """The result of an Allocate transaction.

    Attributes:
        relayed: The relayed address and port.
        mapped: The server-reflexive address and port.
        expires_at: Time of the expiry, in seconds of the event loop's clock.
    """

    relayed: Peer
    mapped: Peer
    expires_at: float


async def request_allocation(
    transactions: Transactions, lifetime: int, address_family: int | None
) -> AllocateResult:
    """Request an allocation (RFC 8656 section 7).

    Args:
        transactions: The transactions with the server.
        lifetime: Requested lifetime in seconds.
        address_family: 4 or 6 to request a relayed address of this IP version; ``None`` for the
            server's default.

    Raises:
        ConnectionError: The link was closed, or the response is unusable.
        stun.TransactionFailed: The server sent an error response.
        stun.TransactionTimeout: The server did not answer.

    Cancellation: safe; the server may keep the allocation until it expires.
    """
    attributes: dict[str, Any] = {"LIFETIME": lifetime, "REQUESTED-TRANSPORT": UDP_TRANSPORT}
    if address_family is not None:
        attributes[REQUESTED_ADDRESS_FAMILY] = _FAMILIES[address_family]
    sent_at = asyncio.get_running_loop().time()
    response = await transactions.request(stun.Method.ALLOCATE, attributes)
    try:
        relayed = response.attributes["XOR-RELAYED-ADDRESS"]
        mapped = response.attributes["XOR-MAPPED-ADDRESS"]
        granted = response.attributes["LIFETIME"]
    except KeyError as error:
        raise ConnectionError(
            f"the TURN server's Allocate response has no {error.args[0]}"
        ) from error
    if not (relayed[1] and granted) or ipaddress.ip_address(relayed[0]).is_unspecified:
        raise ConnectionError(
            f"the TURN server's Allocate response is unusable: relayed address "
            f"{relayed[0]}:{relayed[1]}, lifetime {granted} s"
        )
    return AllocateResult(relayed, mapped, sent_at + granted)


@dataclass(frozen=True, slots=True)
class RefreshEnded:
    """The end of refreshing an allocation.

    Attributes:
        reason: The reason.
        expires_at: Time at which the server ends the allocation, in seconds of the event loop's
            clock. It is in the future if the server has refused to refresh, for example because the
            user name has expired: until then data is relayed.
    """

    reason: str
    expires_at: float


async def keep_refreshed(
    transactions: Transactions, expires_at: float, lifetime: int
) -> RefreshEnded:
    """Refresh an allocation until the server refuses or it is lost (RFC 8656 section 8).

    Args:
        transactions: The transactions with the server.
        expires_at: Time of the expiry, in seconds of the event loop's clock.
        lifetime: Requested lifetime in seconds.

    Raises:
        ConnectionError: The link was closed.

    Cancellation: safe; the allocation stays until it expires.
    """
    loop = asyncio.get_running_loop()
    remaining = expires_at - loop.time()
    while True:
        await asyncio.sleep(max(remaining - REFRESH_AHEAD, remaining / 2))
        sent_at = loop.time()
        try:
            request = transactions.request(stun.Method.REFRESH, {"LIFETIME": lifetime})
            response = await within(max(expires_at - sent_at, 1.0), request)
        except stun.TransactionFailed as error:
            code = error.response.error_code or 500
            if code < 500 or loop.time() + REFRESH_RETRY_DELAY > expires_at:
                reason = f"the server refused to refresh the allocation: {describe_error(error)}"
                gone = code == ALLOCATION_MISMATCH
                return RefreshEnded(reason, loop.time() if gone else expires_at)
            await asyncio.sleep(REFRESH_RETRY_DELAY)
            remaining = 0.0
            continue
        except stun.TransactionTimeout:
            if loop.time() < expires_at:
                remaining = 0.0
                continue
            reason = "the server did not answer the Refresh request of the allocation"
            return RefreshEnded(reason, expires_at)
        remaining = float(response.attributes.get("LIFETIME", 0))
        if not remaining:
            return RefreshEnded("the server ended the allocation", sent_at)
        expires_at = sent_at + remaining
