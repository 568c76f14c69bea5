from __future__ import annotations

from vision.remote.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(opens_after=3, stays_open_s=15, clock=clock)
    for _ in range(3):
        assert breaker.admits()
        breaker.failed("refused")
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(opens_after=3, stays_open_s=15, clock=Clock())
    for _ in range(5):
        breaker.failed("refused")
        breaker.failed("refused")
        breaker.succeeded()
    assert breaker.state == "closed" and breaker.failures == 0


def test_open_it_admits_nothing_and_says_how_long() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    assert (breaker.state, breaker.admits(), breaker.left_s) == ("open", False, 10)
    assert breaker.last_failure == "refused"


def test_half_open_it_admits_one_that_decides() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 15
    assert breaker.state == "half-open"
    assert [breaker.admits(), breaker.admits()] == [True, False]
    breaker.failed("refused again")
    assert breaker.state == "open" and not breaker.admits()
    clock.now += 15
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.state == "closed" and breaker.admits()


def test_a_trial_that_never_ends_does_not_keep_a_server_out() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 15
    assert breaker.admits()
    clock.now += 15
    assert breaker.admits()
