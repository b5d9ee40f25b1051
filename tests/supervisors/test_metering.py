"""The meter: what calls take of rate limit and money, and that several budgets pay for the same call."""

import pytest

from relight.runtime import Message
from relight.supervisors import Charge, Estimate, GuardedActor, RateLimitedError
from relight.supervisors._metering import Bill, Meter
from relight.supervisors.policies import CostBudget, Purse, RateLimit


class Priced(GuardedActor):
    """What each attempt may cost."""

    def estimate(self, message: Message) -> Estimate | None:
        return Estimate("m1", 0.4, tokens=10.0)


class Deadline:
    """All that the meter asks of a call."""

    due = 100.0


def purse(usd: float, scope: str) -> Purse:
    return CostBudget(usd_per_day=usd).purse(scope)


def bill_of(*purses: Purse) -> Bill:
    return Bill.of(Priced(), Message(), purses)


def admit(meter: Meter, bill: Bill, now: float = 0.0) -> object:
    return meter.admit(Deadline(), bill, now)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_each_of_several_budgets_is_charged_the_whole() -> None:
    meter, account, job = Meter("svc"), purse(5.0, "svc"), purse(1.0, "job-1")
    bill = bill_of(account, job)
    assert admit(meter, bill) is None
    assert [one.statistics(0.0).reserved_usd for one in (account, job)] == [0.4, 0.4]
    meter.settle(bill, Charge(0.5), 0.0, is_retry=False)
    for one in (account, job):
        assert (one.statistics(0.0).reserved_usd, one.statistics(0.0).spent_usd) == (0.0, 0.5)


def test_where_one_has_no_room_none_is_charged_and_that_one_is_told() -> None:
    meter, account, job = Meter("svc"), purse(5.0, "svc"), purse(0.3, "job-1")
    refusal = admit(meter, bill_of(account, job))
    assert "the budget of job-1 has no room" in str(refusal)
    assert account.statistics(0.0).reserved_usd == 0.0


def test_what_was_not_sent_is_given_back_to_all() -> None:
    meter, money = Meter("svc"), purse(0.4, "svc")
    meter.limiter = RateLimit(requests_per_minute=1.0).limiter()
    first, second = bill_of(money), bill_of(money)
    assert admit(meter, first) is None
    assert meter.limiter.wait(0.0) == pytest.approx(60.0)
    meter.cancel(first, 0.0)
    assert admit(meter, second) is None


def test_what_waits_for_its_turn_reserves_nothing() -> None:
    meter, money = Meter("svc"), purse(5.0, "svc")
    meter.limiter = RateLimit(requests_per_minute=1.0).limiter()
    assert admit(meter, bill_of(money)) is None
    assert admit(meter, bill_of(money)) == pytest.approx(60.0)
    assert isinstance(admit(meter, bill_of(money), now=50.0), float)
    assert money.statistics(0.0).reserved_usd == 0.4
    meter.limiter.take(50.0, 0.0)
    assert isinstance(admit(meter, bill_of(money), now=50.0), RateLimitedError)
