"""Remote candidates that are applied, kept and dropped."""

import pytest

from icefloe.peer.connection.remote_candidates import (
    CAPACITY,
    END_OF_CANDIDATES,
    RemoteCandidate,
    RemoteCandidates,
    Verdict,
)


def of(fragment: str | None, index: int = 0) -> RemoteCandidate:
    return RemoteCandidate(sdpMLineIndex=index, usernameFragment=fragment)


@pytest.fixture
def remote() -> RemoteCandidates:
    return RemoteCandidates()


@pytest.mark.parametrize("candidate", [of("one"), of(None), END_OF_CANDIDATES])
def test_before_any_description_everything_is_kept(
    remote: RemoteCandidates, candidate: RemoteCandidate
) -> None:
    assert remote.judge(candidate) is Verdict.KEEP


@pytest.mark.parametrize(
    ("fragment", "verdict"),
    [
        ("new", Verdict.APPLY),
        ("bundled", Verdict.APPLY),
        (None, Verdict.APPLY),
        ("old", Verdict.DROP),
        ("to come", Verdict.KEEP),
    ],
)
def test_the_generation_decides(
    remote: RemoteCandidates, fragment: str | None, verdict: Verdict
) -> None:
    remote.described({"old"})
    remote.described({"new", "bundled"})
    assert remote.judge(of(fragment)) is verdict


def test_kept_candidates_come_back_in_order_with_their_description(
    remote: RemoteCandidates,
) -> None:
    early = [of("one", 2), of(None, 1), of("one", 0), END_OF_CANDIDATES]
    for candidate in early:
        remote.keep(candidate)
    assert remote.described({"one"}) == early
    assert remote.described({"one"}) == []


def test_candidates_of_a_later_generation_wait_for_it(remote: RemoteCandidates) -> None:
    for candidate in (of("two", 0), of("one", 1), of("two", 2)):
        remote.keep(candidate)
    assert remote.described({"one"}) == [of("one", 1)]
    assert remote.described({"two"}) == [of("two", 0), of("two", 2)]


def test_kept_candidates_of_a_replaced_generation_are_dropped(remote: RemoteCandidates) -> None:
    remote.described({"one"})
    remote.keep(of("one"))
    assert remote.described({"two"}) == []
    assert remote.described({"one"}) == []


def test_a_section_that_stays_keeps_its_generation(remote: RemoteCandidates) -> None:
    remote.described({"audio", "video"})
    remote.described({"audio", "restarted"})
    assert remote.judge(of("audio")) is Verdict.APPLY
    assert remote.judge(of("video")) is Verdict.DROP


def test_a_generation_that_comes_back_counts_again(remote: RemoteCandidates) -> None:
    for generation in ("one", "two", "one"):
        remote.described({generation})
    assert remote.judge(of("one")) is Verdict.APPLY
    assert remote.judge(of("two")) is Verdict.DROP


def test_a_description_without_fragments_changes_no_generation(remote: RemoteCandidates) -> None:
    remote.keep(of("one"))
    assert remote.described(set()) == []
    assert remote.described({"one"}) == [of("one")]
    remote.described(set())
    assert remote.judge(of("one")) is Verdict.APPLY


def test_the_oldest_make_room_when_too_many_wait(remote: RemoteCandidates) -> None:
    for index in range(CAPACITY + 3):
        remote.keep(of("one", index))
    ready = remote.described({"one"})
    assert [candidate.sdpMLineIndex for candidate in ready] == list(range(3, CAPACITY + 3))


def test_the_capacity_holds_across_descriptions(remote: RemoteCandidates) -> None:
    for index in range(CAPACITY):
        remote.keep(of("later", index))
    assert remote.described({"one"}) == []
    remote.keep(of("later", CAPACITY))
    ready = remote.described({"later"})
    assert [candidate.sdpMLineIndex for candidate in ready] == list(range(1, CAPACITY + 1))
