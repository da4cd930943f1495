"""Commands are written in order, once or again, and forgotten when they were applied."""

import pytest

from icefloe.signaling import Leave
from icefloe.signaling.cluster import pending_commands
from icefloe.signaling.cluster.commands import MAX_ENTRY_BYTES, MAX_ENTRY_COMMANDS
from icefloe.signaling.cluster.pending_commands import Batch, PendingCommands


def batches(pending: PendingCommands) -> list[Batch]:
    """Write all there is."""
    found = []
    while batch := pending.batch():
        found.append(batch)
        pending.sent(batch)
    return found


def test_commands_are_numbered_from_one_and_written_once() -> None:
    pending = PendingCommands()
    assert pending.batch() is None
    pending.add(b"a")
    pending.add(b"b")
    assert batches(pending) == [Batch(1, [b"a", b"b"])]
    pending.add(b"c")
    assert batches(pending) == [Batch(3, [b"c"])]
    assert not pending.has_unsent


def test_what_was_not_applied_is_written_again() -> None:
    pending = PendingCommands()
    for command in (b"a", b"b", b"c"):
        pending.add(command)
    batches(pending)
    pending.applied(1)
    pending.send_again()
    assert batches(pending) == [Batch(2, [b"b", b"c"])]


def test_what_was_applied_before_its_answer_came_is_not_written_again() -> None:
    pending = PendingCommands()
    pending.add(b"a")
    batch = pending.batch()
    assert batch is not None
    pending.applied(1)
    assert batches(pending) == []
    pending.sent(batch)
    pending.add(b"b")
    assert batches(pending) == [Batch(2, [b"b"])]
    assert len(pending) == 1


def test_an_entry_has_only_so_many_commands_and_bytes() -> None:
    pending = PendingCommands()
    for _ in range(MAX_ENTRY_COMMANDS + 1):
        pending.add(b"a")
    assert [len(batch.commands) for batch in batches(pending)] == [MAX_ENTRY_COMMANDS, 1]
    for _ in range(3):
        pending.add(b"x" * (MAX_ENTRY_BYTES // 2))
    assert [len(batch.commands) for batch in batches(pending)] == [2, 1]


def test_messages_that_were_decoded_are_kept_until_they_were_applied() -> None:
    pending = PendingCommands()
    pending.add(b"a")
    pending.add(b"b", Leave())
    assert pending.messages == {2: Leave()}
    pending.applied(2)
    assert pending.messages == {}


def test_the_queue_is_full_by_number_or_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_commands, "MAX_PENDING", 2)
    monkeypatch.setattr(pending_commands, "MAX_PENDING_BYTES", 10)
    pending = PendingCommands()
    pending.add(b"a")
    assert not pending.is_full
    pending.add(b"b")
    assert pending.is_full
    pending.applied(2)
    assert not pending.is_full
    pending.add(b"x" * 10)
    assert pending.is_full
