"""Binding requests and responses of connectivity checks (RFC 8445 section 7). No I/O."""

import secrets
from dataclasses import dataclass, field

from aioice import stun
from aioice.candidate import candidate_priority

from .pair import Address

BAD_REQUEST = (400, "Bad Request")
UNAUTHENTICATED = (401, "Unauthenticated")
ROLE_CONFLICT = (487, "Role Conflict")


@dataclass(slots=True)
class Credentials:
    """The user names and passwords of one generation (RFC 8445 section 5.3).

    Attributes:
        local_username: This side's username fragment.
        local_password: Its password.
        remote_username: The other side's username fragment; ``None`` before it is known.
        remote_password: Its password, likewise.
    """

    local_username: str
    local_password: str = field(repr=False)
    remote_username: str | None = None
    remote_password: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Role:
    """Who nominates (RFC 8445 section 6.1.1).

    Attributes:
        controlling: Whether this side does.
        tie_breaker: Decides who keeps the role if both want it.
    """

    controlling: bool
    tie_breaker: int

    @classmethod
    def controlled(cls) -> "Role":
        """Make the role that a side has before there was an offer."""
        return cls(False, secrets.randbits(64))

    def give_way(self) -> None:
        """Switch after a 487, which asks for another tie-breaker too (RFC 8445 section 16.1).

        Two sides with the same one would otherwise switch for ever.
        """
        self.controlling = not self.controlling
        self.tie_breaker = secrets.randbits(64)


def request(
    credentials: Credentials, role: Role, *, local_preference: int, use_candidate: bool = False
) -> tuple[bytes, bytes]:
    """Make a Binding request.

    Args:
        credentials: Those of both sides.
        role: This side's.
        local_preference: That of the candidate it is sent from; the other side learns the
            priority of a peer-reflexive candidate from it (RFC 8445 section 7.1.1).
        use_candidate: Whether it nominates.

    Returns:
        Its transaction id, and the message.
    """
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{credentials.remote_username}:{credentials.local_username}"
    message.attributes["PRIORITY"] = candidate_priority(1, "prflx", local_preference)
    name = "ICE-CONTROLLING" if role.controlling else "ICE-CONTROLLED"
    message.attributes[name] = role.tie_breaker
    if use_candidate:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(str(credentials.remote_password).encode())
    return message.transaction_id, bytes(message)


def success(answered: stun.Message, source: Address, credentials: Credentials) -> bytes:
    """Make the success response to a check from an address."""
    message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, answered.transaction_id)
    message.attributes["XOR-MAPPED-ADDRESS"] = source
    message.add_message_integrity(credentials.local_password.encode())
    return bytes(message)


def error(answered: stun.Message, code: tuple[int, str], credentials: Credentials) -> bytes:
    """Make an error response; 400 and 401 are not signed (RFC 8489 section 9.1.3)."""
    message = stun.Message(answered.message_method, stun.Class.ERROR, answered.transaction_id)
    message.attributes["ERROR-CODE"] = code
    if code in (BAD_REQUEST, UNAUTHENTICATED):
        message.add_fingerprint()
    else:
        message.add_message_integrity(credentials.local_password.encode())
    return bytes(message)


def fault(message: stun.Message, credentials: Credentials) -> tuple[int, str] | None:
    """Tell what is wrong with a request that came; ``None`` if it is authentic.

    RFC 8489 section 9.1.3; the other side's fragment can be told only once it is known (RFC 8445
    section 7.3).
    """
    attributes = message.attributes
    if message.message_method is not stun.Method.BINDING or not (
        {"MESSAGE-INTEGRITY", "USERNAME", "PRIORITY"} <= attributes.keys()
    ):
        return BAD_REQUEST
    local, colon, remote = attributes["USERNAME"].partition(":")
    if not (
        colon
        and local == credentials.local_username
        and credentials.remote_username in (None, remote)
        and message.check_message_integrity(credentials.local_password.encode())
    ):
        return UNAUTHENTICATED
    return None


def is_authentic_response(message: stun.Message, credentials: Credentials) -> bool:
    """Whether a response was made by the other side (RFC 8489 section 9.1.4)."""
    password = credentials.remote_password
    return password is not None and message.check_message_integrity(password.encode())


def repair(message: stun.Message, role: Role) -> bool:
    """Repair a role conflict that a request shows (RFC 8445 section 7.3.1.1).

    Returns:
        Whether the request can be answered; if not, the other side is the one to switch. The role
        is switched in place if this side is.
    """
    if role.controlling and "ICE-CONTROLLING" in message.attributes:
        if role.tie_breaker >= message.attributes["ICE-CONTROLLING"]:
            return False
        role.controlling = False
    elif not role.controlling and "ICE-CONTROLLED" in message.attributes:
        if role.tie_breaker < message.attributes["ICE-CONTROLLED"]:
            return False
        role.controlling = True
    return True
