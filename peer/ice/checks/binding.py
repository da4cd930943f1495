"""STUN Binding messages of connectivity checks, and role conflicts (RFC 8445 section 7). No I/O."""

import secrets
from dataclasses import dataclass, field

from aioice import stun

from ..gather.local_candidate import candidate_priority_of
from .binding_encoder import encode_request, encode_success
from .pair import Address

BAD_REQUEST = (400, "Bad Request")
UNAUTHENTICATED = (401, "Unauthenticated")
ROLE_CONFLICT = (487, "Role Conflict")


@dataclass(slots=True)
class Credentials:
    """ICE credentials of one generation (RFC 8445 section 5.3).

    Attributes:
        local_username: Local username fragment.
        local_password: Local password.
        remote_username: Remote username fragment; ``None`` before the remote description.
        remote_password: Remote password; ``None`` before the remote description.
    """

    local_username: str
    local_password: str = field(repr=False)
    remote_username: str | None = None
    remote_password: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Role:
    """The role of the local agent, controlling or controlled (RFC 8445 section 6.1.1).

    Attributes:
        controlling: True if the local agent is controlling, which means that it nominates.
        tie_breaker: 64-bit number that resolves role conflicts.
    """

    controlling: bool
    tie_breaker: int

    @classmethod
    def controlled(cls) -> "Role":
        """Return the initial role: controlled, with a random tie-breaker."""
        return cls(False, secrets.randbits(64))

    def switch_after_conflict(self) -> None:
        """Switch the role after a 487 (Role Conflict) response and draw a new tie-breaker.

        RFC 8445 section 16.1. Two agents with equal tie-breakers would otherwise switch forever.
        """
        self.controlling = not self.controlling
        self.tie_breaker = secrets.randbits(64)


def request(
    credentials: Credentials,
    role: Role,
    *,
    local_preference: int,
    use_candidate: bool = False,
    tcptype: str | None = None,
) -> tuple[bytes, bytes]:
    """Encode a Binding request.

    Args:
        credentials: Local and remote credentials.
        role: The role of the local agent.
        local_preference: Local preference of the sending candidate. The remote peer derives the
            priority of a peer-reflexive candidate from it (RFC 8445 section 7.1.1).
        use_candidate: True to nominate the pair.
        tcptype: ``active`` or ``passive`` if the check is sent over TCP.

    Returns:
        The transaction ID and the encoded message.
    """
    return encode_request(
        f"{credentials.remote_username}:{credentials.local_username}",
        str(credentials.remote_password),
        priority=candidate_priority_of("prflx", local_preference, tcptype),
        controlling=role.controlling,
        tie_breaker=role.tie_breaker,
        use_candidate=use_candidate,
    )


def success(answered: stun.Message, source: Address, credentials: Credentials) -> bytes:
    """Encode the success response to a check received from ``source``."""
    return encode_success(answered.transaction_id, source, credentials.local_password)


def error(answered: stun.Message, code: tuple[int, str], credentials: Credentials) -> bytes:
    """Encode an error response; 400 and 401 have no MESSAGE-INTEGRITY (RFC 8489 section 9.1.3)."""
    message = stun.Message(answered.message_method, stun.Class.ERROR, answered.transaction_id)
    message.attributes["ERROR-CODE"] = code
    if code in (BAD_REQUEST, UNAUTHENTICATED):
        message.add_fingerprint()
    else:
        message.add_message_integrity(credentials.local_password.encode())
    return bytes(message)


def request_error(message: stun.Message, credentials: Credentials) -> tuple[int, str] | None:
    """Return the error code and reason for a received request; ``None`` if it is authentic.

    RFC 8489 section 9.1.3. The remote username fragment is verified only after the remote
    description has arrived (RFC 8445 section 7.3).
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
    """Return whether the remote password authenticates a response (RFC 8489 section 9.1.4)."""
    password = credentials.remote_password
    return password is not None and message.check_message_integrity(password.encode())


def resolve_role_conflict(message: stun.Message, role: Role) -> bool:
    """Detect and resolve a role conflict in a request (RFC 8445 section 7.3.1.1).

    If the local agent loses, ``role`` is switched in place.

    Returns:
        ``False`` if the remote peer has to switch, so the request is answered with 487.
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
