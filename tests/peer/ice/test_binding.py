"""Binding requests and responses: what is in them, what is wrong with them, who gives way."""

import pytest
from aioice import stun
from aioice.candidate import candidate_priority

from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.binding import Credentials, Role

HERE = Credentials("here", "here-password", "there", "there-password")
THERE = Credentials("there", "there-password", "here", "here-password")
SOURCE = ("198.51.100.2", 2000)


def request(
    role: Role = Role(True, 7),  # noqa: B008
    *,
    use_candidate: bool = False,
) -> stun.Message:
    identity, data = binding.request(
        THERE, role, local_preference=1234, use_candidate=use_candidate
    )
    message = stun.parse_message(data)
    assert message.transaction_id == identity
    return message


@pytest.mark.parametrize("controlling", [True, False])
def test_what_a_request_says(controlling: bool) -> None:
    # RFC 8445 section 7.1
    message = request(Role(controlling, 7))
    assert message.attributes["USERNAME"] == "here:there"
    assert message.attributes["PRIORITY"] == candidate_priority(1, "prflx", 1234)
    mine, others = "ICE-CONTROLLING", "ICE-CONTROLLED"
    if not controlling:
        mine, others = others, mine
    assert message.attributes[mine] == 7
    assert others not in message.attributes
    assert "FINGERPRINT" in message.attributes
    assert "USE-CANDIDATE" not in message.attributes
    assert message.check_message_integrity(b"here-password")
    assert binding.request_error(message, HERE) is None


def test_a_nomination_says_so() -> None:
    assert "USE-CANDIDATE" in request(use_candidate=True).attributes


def test_no_two_requests_have_the_same_id() -> None:
    assert len({request().transaction_id for _ in range(100)}) == 100


def test_before_the_other_side_is_known_any_fragment_of_its_is_right() -> None:
    # RFC 8445 section 7.3: its checks may come before its answer.
    assert binding.request_error(request(), Credentials("here", "here-password")) is None
    other = Credentials("here", "here-password", "somebody", "x")
    assert binding.request_error(request(), other) == binding.UNAUTHENTICATED


def test_what_a_success_says() -> None:
    asked = request()
    answer = stun.parse_message(binding.success(asked, SOURCE, HERE))
    assert answer.transaction_id == asked.transaction_id
    assert answer.message_class is stun.Class.RESPONSE
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == SOURCE
    assert binding.is_authentic_response(answer, THERE)
    assert not binding.is_authentic_response(answer, HERE)
    assert not binding.is_authentic_response(answer, Credentials("there", "x"))


@pytest.mark.parametrize(
    ("code", "is_signed"),
    [(binding.BAD_REQUEST, False), (binding.UNAUTHENTICATED, False), (binding.ROLE_CONFLICT, True)],
)
def test_what_an_error_says(code: tuple[int, str], is_signed: bool) -> None:
    asked = request()
    answer = stun.parse_message(binding.error(asked, code, HERE))
    assert answer.transaction_id == asked.transaction_id
    assert answer.attributes["ERROR-CODE"] == code
    assert "FINGERPRINT" in answer.attributes
    assert binding.is_authentic_response(answer, THERE) is is_signed


CONFLICTS = [  # own role and number, the other's, whether it is answered, the own role then
    (True, 5, True, 4, False, True),
    (True, 5, True, 5, False, True),
    (True, 5, True, 6, True, False),
    (False, 5, False, 4, True, True),
    (False, 5, False, 5, True, True),
    (False, 5, False, 6, False, False),
    (True, 5, False, 6, True, True),
    (False, 5, True, 6, True, False),
]


@pytest.mark.parametrize(("own", "number", "others", "its", "answered", "then"), CONFLICTS)
def test_a_role_conflict(
    own: bool, number: int, others: bool, its: int, answered: bool, then: bool
) -> None:
    # RFC 8445 section 7.3.1.1
    role = Role(own, number)
    assert binding.resolve_role_conflict(request(Role(others, its)), role) is answered
    assert role == Role(then, number)


def test_who_names_no_role_is_in_conflict_with_nobody() -> None:
    message = request()
    del message.attributes["ICE-CONTROLLING"]
    for controlling in (True, False):
        role = Role(controlling, 5)
        assert binding.resolve_role_conflict(message, role)
        assert role.controlling is controlling


def test_who_gives_way_takes_another_number() -> None:
    role = Role(True, 5)
    role.switch_after_conflict()
    assert role.controlling is False
    assert role.tie_breaker != 5
    assert 0 <= role.tie_breaker < 2**64
