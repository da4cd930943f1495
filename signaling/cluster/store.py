"""The log in Redis: its keys, and the scripts that change them atomically.

``PREFIX:1:head`` is a hash with the epoch and the position of the last entry,
``PREFIX:1:log:EPOCH`` the stream of the entries, ``PREFIX:1:snapshot`` a hash with a state from
which the stream goes on, and ``PREFIX:1:candidates`` has the positions of the nodes while they
agree on one. 1 is :data:`.replica.FORMAT`.
"""

from logging import Logger
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from icefloe.logs import get_logger

from ..configuration import RedisConfiguration
from .commands import Entry, InvalidEntry, decode_body, encode_body
from .epochs import Epoch, Head
from .pending_commands import Batch
from .replica import FORMAT

logger: Logger = get_logger(__name__)

_Arguments = list[bytes | str | int | float]

ANSWER_SECONDS = 3.0
"""Seconds within which Redis has to answer, or it is away."""

READ_SECONDS = 1.0
"""Seconds that a read waits for an entry."""

MAX_STREAM_ENTRIES = 1_000_000
"""The most entries of the stream, approximately. Snapshots keep it far shorter."""

_MAX_READ_ENTRIES = 64
"""Entries that are read at a time."""

_CANDIDATE_SECONDS = 30
"""Seconds after which Redis forgets positions."""

_ADD = """
local head = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if head[1] ~= ARGV[1] or tonumber(head[2]) < tonumber(ARGV[2]) then return false end
local position = redis.call('HINCRBY', KEYS[1], 'position', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*',
    'p', position, 'n', ARGV[3], 's', ARGV[4], 'c', ARGV[5])
return position
"""

_BEGIN = """
if (redis.call('HGET', KEYS[1], 'epoch') or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'position', ARGV[3], 'parent', ARGV[4],
    'start', ARGV[3], 'rules', ARGV[5])
redis.call('HSET', KEYS[2], 'epoch', ARGV[2], 'position', ARGV[3], 'id', '0-0', 'data', ARGV[6])
return 1
"""

_SAVE = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
local kept = tonumber(redis.call('HGET', KEYS[2], 'position') or '-1')
if kept >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'position', ARGV[2], 'id', ARGV[3], 'data', ARGV[4])
redis.call('XTRIM', KEYS[3], 'MINID', ARGV[5])
return 1
"""


class Store:
    """The log in one Redis.

    Args:
        configuration: Where it is.
    """

    def __init__(self, configuration: RedisConfiguration) -> None:
        self._redis: Redis = Redis.from_url(
            configuration.url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            health_check_interval=0,
            max_connections=8,
        )
        prefix = f"{configuration.prefix}:{FORMAT}"
        self._head, self._snapshot = f"{prefix}:head", f"{prefix}:snapshot"
        self._candidates, self._log = f"{prefix}:candidates", f"{prefix}:log"
        self._add = self._redis.register_script(_ADD)
        self._begin = self._redis.register_script(_BEGIN)
        self._save = self._redis.register_script(_SAVE)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.aclose()

    async def head(self) -> Head:
        """Return the state of the log."""
        fields: dict[bytes, bytes] = await _answer(self._redis.hgetall(self._head))
        return Head(
            Epoch.parse(fields.get(b"epoch", b"").decode(errors="replace")),
            _number(fields.get(b"position")),
            Epoch.parse(fields.get(b"parent", b"").decode(errors="replace")),
            _number(fields.get(b"start")),
            fields.get(b"rules", b""),
        )

    async def add(self, epoch: Epoch, position: int, node: int, batch: Batch) -> bool:
        """Write an entry.

        Args:
            epoch: The epoch that the node knows.
            position: The last position that it has read.
            node: The node.
            batch: Its commands.

        Returns:
            Whether the log is that one; if not, nothing was written.
        """
        body = encode_body(batch.commands)
        arguments: _Arguments = [str(epoch), position, node, batch.first, body, MAX_STREAM_ENTRIES]
        keys = [self._head, self._stream(epoch)]
        return await _answer(self._add(keys=keys, args=arguments)) is not None

    async def read(self, epoch: Epoch, after: str) -> list[tuple[str, Entry | None]]:
        """Return the entries after one, with their ids; wait a while if there are none.

        An entry that no node has written is ``None``.
        """
        stream = self._stream(epoch)
        block = int(READ_SECONDS * 1000)
        answer = await _answer(
            self._redis.xread({stream: after}, count=_MAX_READ_ENTRIES, block=block)
        )
        found: list[tuple[bytes, dict[bytes, bytes]]] = answer[0][1] if answer else []
        return [(id.decode(), _entry(id.decode(), fields)) for id, fields in found]

    async def begin(self, head: Head, epoch: Epoch, new: Head, snapshot: bytes) -> bool:
        """Begin an epoch, unless another node has done it.

        Args:
            head: The log as it was.
            epoch: The new epoch.
            new: The position, the epoch before and the rules of the new one.
            snapshot: The state with which it begins.
        """
        keys = [self._head, self._snapshot, self._stream(epoch), self._candidates]
        before, parent = head.epoch or "", new.parent or ""
        arguments: _Arguments = [
            str(before),
            str(epoch),
            new.position,
            str(parent),
            new.rules,
            snapshot,
        ]
        begun = bool(await _answer(self._begin(keys=keys, args=arguments)))
        if begun and head.epoch is not None:
            await _answer(self._redis.unlink(self._stream(head.epoch)))
        return begun

    async def load(self) -> tuple[Epoch | None, str, bytes]:
        """Return the snapshot: its epoch, the id of the last entry before it, and the state."""
        fields: dict[bytes, bytes] = await _answer(self._redis.hgetall(self._snapshot))
        epoch = Epoch.parse(fields.get(b"epoch", b"").decode(errors="replace"))
        return epoch, fields.get(b"id", b"0-0").decode(), fields.get(b"data", b"")

    async def save(
        self, epoch: Epoch, position: int, id: str, snapshot: bytes, trim_before: str
    ) -> bool:
        """Write a snapshot, and remove entries that are older than an earlier one.

        Returns:
            Whether it was written; there may be a newer one.
        """
        keys = [self._head, self._snapshot, self._stream(epoch)]
        arguments: _Arguments = [str(epoch), position, id, snapshot, trim_before]
        return bool(await _answer(self._save(keys=keys, args=arguments)))

    async def stand(self, name: str, position: int) -> None:
        """Publish the position of a node that would begin the next epoch."""
        await _answer(self._redis.zadd(self._candidates, {name: position}))
        await _answer(self._redis.expire(self._candidates, _CANDIDATE_SECONDS))

    async def first_candidate(self) -> str | None:
        """Return the name of the node with the highest position."""
        found: list[bytes] = await _answer(self._redis.zrevrange(self._candidates, 0, 0))
        return found[0].decode(errors="replace") if found else None

    async def drop_candidate(self, name: str) -> None:
        """Take a node out that does not begin the epoch."""
        await _answer(self._redis.zrem(self._candidates, name))

    def _stream(self, epoch: Epoch) -> str:
        return f"{self._log}:{epoch}"


async def _answer(answer: Any) -> Any:
    # redis-py annotates each command for its synchronous and asynchronous client at once.
    return await answer


def _number(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) <= 18 else 0


def _entry(id: str, fields: dict[bytes, bytes]) -> Entry | None:
    """Return an entry; ``None`` for one that no node has written, which all pass over."""
    try:
        position, node, first = (int(fields[key]) for key in (b"p", b"n", b"s"))
        body = fields[b"c"]
    except (KeyError, ValueError):
        logger.error("an entry of the log in Redis was passed over, which no server has written")
        return None
    try:
        commands = decode_body(body)
    except InvalidEntry as error:
        logger.error("an entry of the log in Redis was passed over: %s", error)
        commands = ()
    milliseconds = int(id.partition("-")[0])
    return Entry(position, milliseconds, node, first, commands, len(body))
