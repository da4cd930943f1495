"""The admission of TCP connections before they have authenticated."""

from hypothesis import given, strategies as st

from icefloe.peer.ice.tcp.admission import (
    AUTHENTICATION_TIMEOUT,
    MAX_UNAUTHENTICATED,
    MAX_UNAUTHENTICATED_PER_SOURCE,
    Admission,
    source_of,
)


def test_a_connection_that_is_too_late_is_given_up_and_others_are_not() -> None:
    admission: Admission[str] = Admission()
    assert admission.deadline == float("inf")
    admission.admit("first", "192.0.2.1", 10.0)
    admission.admit("second", "192.0.2.1", 11.0)
    assert admission.deadline == 10.0 + AUTHENTICATION_TIMEOUT
    assert admission.expired(9.99 + AUTHENTICATION_TIMEOUT) == []
    assert admission.expired(10.0 + AUTHENTICATION_TIMEOUT) == ["first"]
    assert admission.deadline == 11.0 + AUTHENTICATION_TIMEOUT


def test_one_that_has_authenticated_is_not_given_up() -> None:
    admission: Admission[str] = Admission()
    admission.admit("one", "192.0.2.1", 0.0)
    assert admission.forget("one")
    assert not admission.forget("one")
    assert admission.expired(100.0) == []


def test_too_many_of_one_source_displace_its_own_oldest() -> None:
    admission: Admission[int] = Admission()
    admission.admit(-1, "192.0.2.2", 0.0)
    for number in range(MAX_UNAUTHENTICATED_PER_SOURCE):
        assert admission.admit(number, "192.0.2.1", 1.0) is None
    assert admission.admit(1000, "192.0.2.1", 1.0) == 0
    assert admission.admit(1001, "192.0.2.1", 1.0) == 1
    assert admission.forget(-1)


def test_too_many_altogether_displace_the_oldest() -> None:
    admission: Admission[int] = Admission()
    for number in range(MAX_UNAUTHENTICATED):
        assert admission.admit(number, f"198.51.{number // 250}.{number % 250}", 1.0) is None
    assert admission.admit(1000, "192.0.2.1", 1.0) == 0
    assert len(admission) == MAX_UNAUTHENTICATED


def test_an_ipv6_network_is_one_source() -> None:
    assert source_of("2001:db8:0:1::1") == source_of("2001:db8:0:1:ffff::2")
    assert source_of("2001:db8:0:1::1") != source_of("2001:db8:0:2::1")
    assert source_of("fe80::1%eth0") == source_of("fe80::2")
    assert source_of("192.0.2.1") != source_of("192.0.2.2")


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.booleans(), st.floats(0, 2)),
        max_size=400,
    )
)
def test_whatever_comes_and_goes_the_bounds_hold(
    steps: list[tuple[int, int, bool, float]],
) -> None:
    admission: Admission[int] = Admission()
    held: dict[int, int] = {}
    now = 0.0
    for connection, source, arrives, pause in steps:
        now += pause
        for late in admission.expired(now):
            del held[late]
        if arrives and connection not in held:
            displaced = admission.admit(connection, f"192.0.2.{source}", now)
            if displaced is not None:
                del held[displaced]
            held[connection] = source
        else:
            assert admission.forget(connection) is (held.pop(connection, None) is not None)
        assert len(admission) == len(held) <= MAX_UNAUTHENTICATED
        sources = list(held.values())
        assert all(sources.count(s) <= MAX_UNAUTHENTICATED_PER_SOURCE for s in set(sources))
