"""Settings of the policies that look at all calls together: rate limit, retry budget, cost budget."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from ._operation_settings import CallSettings
from .policies import CostBudget, Policy, RateLimit, RetryBudget, Unpriced

_Spec = TypeVar("_Spec", bound=msgspec.Struct)

_PerMinute = Annotated[float, Meta(ge=0.1, le=1_000_000.0)]
_Tokens = Annotated[float, Meta(ge=1.0, le=1_000_000_000.0)]
_Burst = Annotated[float, Meta(ge=0.1, le=3_600.0)]
_Dollars = Annotated[float, Meta(ge=0.0001, le=1_000_000.0)]


class BudgetSettings(CallSettings, frozen=True, kw_only=True):
    """Override what bounds all calls of a service together. None keeps the service's own."""

    requests_per_minute: _PerMinute | None = None
    """Attempts begun within a minute, evenly spread."""
    tokens_per_minute: _Tokens | None = None
    """Tokens used within a minute, by estimate and usage."""
    rate_burst: _Burst | None = None
    """Seconds' worth of these limits that may be used at once. Alone, it switches on a limit that keeps to
    what the provider's answers say."""
    retry_share: Annotated[float, Meta(ge=0.0, le=10.0)] | None = None
    """Retries a call of the last minute. 9 never bounds anything: no call has more than ten attempts."""
    retries_per_minute: Annotated[float, Meta(ge=0.0, le=1_000_000.0)] | None = None
    """Retries a minute besides."""
    usd_per_minute: _Dollars | None = None
    """US dollars that may be spent within a minute."""
    usd_per_day: _Dollars | None = None
    """US dollars that may be spent within 24 hours."""
    unpriced: Unpriced | None = None
    """Whether calls whose price is not known may pass a cost budget."""
    account: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """The API account: services of one share its pauses, its rate limit and its cost budget."""

    def budgets(self, policy: Policy) -> dict[str, object]:
        """Return the fields of *policy* that are set here; None where one is not."""
        return {
            "rate_limit": _changed(
                policy.rate_limit or RateLimit(),
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
                burst=self.rate_burst,
            ),
            "retry_budget": _changed(
                policy.retry_budget or RetryBudget(),
                share=self.retry_share,
                per_minute=self.retries_per_minute,
            ),
            "cost_budget": _changed(
                policy.cost_budget or CostBudget(),
                usd_per_minute=self.usd_per_minute,
                usd_per_day=self.usd_per_day,
                unpriced=self.unpriced,
            ),
            "account": self.account,
        }


def budget_numbers(policy: Policy) -> dict[str, float | None]:
    """Return the numbers of *policy* that are set here, by the names they have here."""
    rate, retries, cost = policy.rate_limit, policy.retry_budget, policy.cost_budget
    return {
        "requests_per_minute": None if rate is None else rate.requests_per_minute,
        "tokens_per_minute": None if rate is None else rate.tokens_per_minute,
        "rate_burst": None if rate is None else rate.burst,
        "retry_share": None if retries is None else retries.share,
        "retries_per_minute": None if retries is None else retries.per_minute,
        "usd_per_minute": None if cost is None else cost.usd_per_minute,
        "usd_per_day": None if cost is None else cost.usd_per_day,
    }


def budget_words(policy: Policy) -> dict[str, str | None]:
    """Return what is set here and is no number."""
    cost = policy.cost_budget
    return {"unpriced": None if cost is None else cost.unpriced, "account": policy.account}


def _changed(spec: _Spec, **values: object) -> _Spec | None:
    """Copy *spec* with those *values* that are not None; None where all are."""
    changes = {name: value for name, value in values.items() if value is not None}
    return msgspec.structs.replace(spec, **changes) if changes else None
