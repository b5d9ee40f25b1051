"""The account: what services share that call a provider with the same key.

A rate limit, a spent quota or a refused key is not about the service that met it: the next service of the
account would meet it too. So gate, block, rate limit and money belong to the account. A service that names
none has one of its own. Breakers, slots and retry budgets stay with the services: an endpoint that is ill
says nothing about the others, and must not use up their retries.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from ._block import Block
from .policies import CostBudget, Gate, Policy, Purse, RateLimit, RateLimiter

if TYPE_CHECKING:
    from ..runtime import Timer
    from ._guarded_mailbox import GuardedMailbox


class Account:
    """What the services of one API account share, and who they are."""

    __slots__ = (
        "_cost_budget",
        "_is_vacant",
        "_rate_limit",
        "_timer",
        "block",
        "gate",
        "limiter",
        "line",
        "members",
        "name",
        "purse",
        "turns",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = Gate()
        self.block = Block()
        self.limiter: RateLimiter | None = None
        self.purse: Purse | None = None
        self.members: list[GuardedMailbox] = []
        """The services, as long as they live."""
        self._is_vacant = False
        """Its last service has ended."""
        self._rate_limit: RateLimit | None = None
        self._cost_budget: CostBudget | None = None
        self.line: dict[GuardedMailbox, float] = {}
        """Who waits for the rate limit, and until when. The first is who was served least lately."""
        self._timer: Timer | None = None
        self.turns = 0
        """Calls that its services have begun under its limits."""

    def agree(self, policy: Policy) -> None:
        """Take over the limits of a service that is about to start.

        Raises:
            ValueError: Another service of the account lives that has another limit.
        """
        if self._is_vacant:  # nobody holds to the old ones any more
            self._forget_other_limits(policy)
            self._is_vacant = False
        if policy.rate_limit is not None and policy.rate_limit != self._rate_limit:
            self._refuse_other("rate_limit", policy.rate_limit, self._rate_limit)
            self._rate_limit = policy.rate_limit
            self.limiter = policy.rate_limit.limiter()
        if policy.cost_budget is not None and policy.cost_budget != self._cost_budget:
            self._refuse_other("cost_budget", policy.cost_budget, self._cost_budget)
            self._cost_budget = policy.cost_budget
            self.purse = policy.cost_budget.purse(self.name)
        for member in self.members:
            member.guard.take_limits()

    def readjust(self, policies: Iterable[Policy], now: float) -> None:
        """Go by the limits that the *policies* of its services have now; see `limits_of`."""
        rate_limit, cost_budget = limits_of(self.name, policies)
        if rate_limit is None or self.limiter is None:
            self.limiter = None if rate_limit is None else rate_limit.limiter()
        elif rate_limit != self._rate_limit:
            self.limiter.reconfigure(rate_limit, now)
        if cost_budget is None or self.purse is None:
            self.purse = None if cost_budget is None else cost_budget.purse(self.name)
        elif cost_budget != self._cost_budget:
            self.purse.reconfigure(cost_budget, now)
        self._rate_limit, self._cost_budget = rate_limit, cost_budget
        for member in self.members:
            member.guard.take_limits()

    def join(self, member: GuardedMailbox) -> None:
        """Add a service."""
        self.members.append(member)

    def leave(self, member: GuardedMailbox) -> None:
        """Drop a service that has ended."""
        if member in self.members:
            self.members.remove(member)
            self.line.pop(member, None)
            self._is_vacant = not self.members

    # --- the rate limit's line ---------------------------------------------------------------------

    def wait_in_line(self, member: GuardedMailbox, until: float) -> None:
        """Wake *member* at the moment its next call may begin. Others may have taken it by then."""
        self.line[member] = until
        if self._timer is None or self._timer.done or until < self._timer.due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = member.kernel.timers.call_at(until, self._wake)

    def wake_line(self) -> None:
        """Let those in line look again: there is more to have than they knew."""
        if self.line:
            self._wake()

    def _wake(self) -> None:
        assert self._timer is not None
        self._timer.cancel()
        line, self.line = self.line, {}
        # Who has begun a call since goes last, or the first in line would be the first for ever.
        for member in sorted(line, key=lambda member: member.guard.last_begun):
            member.guard.held_until = -inf
            member.kick()

    def _forget_other_limits(self, policy: Policy) -> None:
        if policy.rate_limit != self._rate_limit:
            self._rate_limit = self.limiter = None
        if policy.cost_budget != self._cost_budget:
            self._cost_budget = self.purse = None

    def _refuse_other(self, field: str, mine: object, theirs: object) -> None:
        if theirs is not None and self.members:
            raise ValueError(
                f"Policy.{field} of account {self.name!r} is {theirs!r} for its other services and {mine!r}"
                " here: give all of them the same, or leave it to one"
            )


def limits_of(account: str, policies: Iterable[Policy]) -> tuple[RateLimit | None, CostBudget | None]:
    """Return the limits that the services of one account have together.

    Raises:
        ValueError: They contradict each other.
    """
    all_of_them = list(policies)
    rate_limits = {policy.rate_limit for policy in all_of_them} - {None}
    cost_budgets = {policy.cost_budget for policy in all_of_them} - {None}
    if len(rate_limits) > 1 or len(cost_budgets) > 1:
        field = "rate_limit" if len(rate_limits) > 1 else "cost_budget"
        raise ValueError(
            f"the services of account {account!r} would have several of {field}: give all of them the same,"
            " or leave it to one"
        )
    return next(iter(rate_limits), None), next(iter(cost_budgets), None)


class Accounts:
    """The accounts of one system, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Account] = {}

    def open(self, policy: Policy, service: str) -> Account:
        """Return the account that a service's policy names, or one of its own.

        Raises:
            ValueError: The policy's limits contradict those of the account's other services.
        """
        if policy.account is None:
            account = Account(service)
        else:
            account = self._by_name.setdefault(policy.account, Account(policy.account))
        account.agree(policy)
        return account
