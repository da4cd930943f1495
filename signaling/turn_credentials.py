"""TURN credentials that expire, made from a secret shared with the TURN server. No I/O.

draft-uberti-behave-turn-rest-00, coturn's ``use-auth-secret``: the user name is the time of the
expiry and a name, ``1700000600:name``; the password is ``base64(HMAC-SHA1(secret, user name))``.
The TURN server computes the same password, so it has no list of users, and refuses a user name
whose time has passed.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .messages import IceServer

SHORTEST_LIFETIME = 300
"""The shortest lifetime of credentials in seconds. They are renewed while they still hold, and the
clocks of the two servers may differ by some of it."""

LONGEST_LIFETIME = 3600
"""The longest lifetime of credentials in seconds: so long may somebody who was let in once make
allocations."""

SHORTEST_SECRET = 16
"""The fewest characters of a secret. Whoever has one user name and password can try out secrets."""

LONGEST_SECRET = 256
"""The most characters of a secret."""

MAX_SECRETS = 2
"""The most secrets at a time: the one in use, and another one while they are changed."""

MAX_NAME = 128
"""The most characters of the name in a user name. RFC 8489 section 14.3 allows fewer than 509 bytes
for the whole of it."""

MAX_TURN_URLS = 16
"""The most URLs of TURN servers that share a secret."""

_NAME = re.compile(r"[!-9;-~]+")  # printable ASCII without space and colon
_SECRET = re.compile(r"[!-~]+")
_TURN_URL = re.compile(r"turns?:[!-~]{1,300}", re.IGNORECASE)


def mint(secret: str, name: str, now: float, lifetime: float) -> tuple[str, str]:
    """Return a user name and password that hold until ``now + lifetime``.

    Args:
        secret: The secret that the TURN server knows.
        name: The name of the user for the TURN server, in its quotas and its log: printable ASCII
            without spaces and colons, at most :data:`MAX_NAME` characters. The colon separates it
            from the time, and a name with one could be taken for another time.
        now: Seconds since the epoch.
        lifetime: Seconds.

    Raises:
        ValueError: The name is not one.
    """
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise ValueError(
            f"a name of a TURN user has 1 to {MAX_NAME} printable ASCII characters and neither "
            "spaces nor colons"
        )
    username = f"{int(now + lifetime)}:{name}"
    digest = hmac.digest(secret.encode(), username.encode(), hashlib.sha1)
    return username, base64.b64encode(digest).decode()


def user_of(secret: str, room: str, name: str) -> str:
    """Return the name of a participant for a TURN server.

    It tells those who read the TURN server's log neither the room nor the name, and is the same
    after a resume and a renewal, so that a quota for each user holds.

    Args:
        secret: The secret that the TURN server knows; without it names cannot be tried out.
        room: The name of the room.
        name: The name of the participant.
    """
    # Both are labels, which have no control characters.
    return hmac.digest(secret.encode(), f"{room}\0{name}".encode(), hashlib.sha256).hex()[:20]


def read_secrets(text: str) -> tuple[str, ...]:
    """Return the secrets in a file, the one that is in use first.

    Args:
        text: One secret, or two while they are changed, each on a line of its own. Empty lines and
            those that begin with ``#`` are left out.

    Raises:
        ValueError: There is none, there are too many, or one is too short, too long, or has spaces
            or characters other than printable ASCII. The error does not quote it.
    """
    lines = (line.strip() for line in text.splitlines())
    secrets = tuple(line for line in lines if line and not line.startswith("#"))
    if not 1 <= len(secrets) <= MAX_SECRETS:
        raise ValueError(f"it has {len(secrets)} secrets; 1 or {MAX_SECRETS} are allowed")
    check_secrets(secrets)
    return secrets


def check_secrets(secrets: Iterable[str]) -> None:
    """Check the length and the characters of secrets.

    Raises:
        ValueError: One of them does not fit; the error does not quote it.
    """
    for secret in secrets:
        if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET or not _SECRET.fullmatch(secret):
            raise ValueError(
                f"a secret has {SHORTEST_SECRET} to {LONGEST_SECRET} printable ASCII characters "
                "and no spaces; `openssl rand -hex 32` makes one"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnServers:
    """TURN servers that share a secret with the signaling server (coturn's ``use-auth-secret``).

    Attributes:
        urls: Their URLs, as ``turn:turn.example.org`` or ``turns:turn.example.org:443``.
        secrets: The secret, and a second one while they are changed. Credentials are made with the
            first; the TURN servers have to know all that were used in the last lifetime.
        lifetime: Seconds that credentials hold, 300 to 3600.
    """

    urls: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)
    lifetime: int = 600

    def __post_init__(self) -> None:
        if not 1 <= len(self.urls) <= MAX_TURN_URLS:
            raise ValueError(f"`urls` has {len(self.urls)} URLs; 1 to {MAX_TURN_URLS} are allowed")
        for url in self.urls:
            if not _TURN_URL.fullmatch(url):
                raise ValueError("each of `urls` must be a turn: or turns: URL")
        if not 1 <= len(self.secrets) <= MAX_SECRETS:
            raise ValueError(f"`secrets` must have 1 or {MAX_SECRETS} secrets")
        check_secrets(self.secrets)
        if not SHORTEST_LIFETIME <= self.lifetime <= LONGEST_LIFETIME:
            raise ValueError(
                f"`lifetime` is {self.lifetime} s; it must be from {SHORTEST_LIFETIME} to "
                f"{LONGEST_LIFETIME}"
            )

    def server_for(self, room: str, name: str, now: float) -> IceServer:
        """Return the servers with credentials for a participant.

        Args:
            room: The name of the room.
            name: The name of the participant.
            now: Seconds since the epoch.
        """
        secret = self.secrets[0]
        username, credential = mint(secret, user_of(secret, room, name), now, self.lifetime)
        return IceServer(urls=list(self.urls), username=username, credential=credential)
