"""The token bucket."""

from icefloe._util.token_bucket import TokenBucket


def test_a_burst_is_free_and_the_rest_is_to_be_waited_for() -> None:
    bucket = TokenBucket(rate=10.0, burst=5.0, now=0.0)
    bucket.take(5, 0.0)
    assert bucket.wait(0.0) == 0.0
    bucket.take(2, 0.0)
    assert bucket.wait(0.0) == 0.2
    assert bucket.wait(0.2) == 0.0


def test_it_never_holds_more_than_the_burst() -> None:
    bucket = TokenBucket(rate=10.0, burst=5.0, now=0.0)
    bucket.take(6, 1000.0)
    assert bucket.wait(1000.0) > 0.0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=10.0, burst=5.0, now=10.0)
    bucket.take(6, 10.0)
    debt = bucket.wait(10.0)
    assert bucket.wait(9.0) == debt
    assert bucket.wait(10.0) == debt


def test_it_is_half_full_with_half_of_its_tokens() -> None:
    bucket = TokenBucket(rate=1.0, burst=10.0, now=0.0)
    bucket.take(5, 0.0)
    assert bucket.is_half_full(0.0)
    bucket.take(1, 0.0)
    assert not bucket.is_half_full(0.5)
    assert bucket.is_half_full(1.0)


def test_in_the_long_run_the_rate_holds() -> None:
    bucket = TokenBucket(rate=30.0, burst=300.0, now=0.0)
    now, taken = 0.0, 0
    while now < 100.0:
        bucket.take(1, now)
        taken += 1
        now += bucket.wait(now)
    assert 3300 <= taken <= 3302
