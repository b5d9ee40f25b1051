"""Rate limits, budgets and accounts take other numbers while the system runs; what was used is used."""

import anyio
import pytest

from relight.runtime import SettingsError
from relight.supervisors import (
    BudgetExceededError,
    Child,
    Estimate,
    FailureKind,
    ProviderError,
    ProviderSettings,
    RetriesExhaustedError,
    SettingChange,
    Settings,
    System,
    open_system,
)
from relight.supervisors.policies import CostBudget, Policy, RateLimit, RetryBudget
from relight.testing import Fail, FlakyService
from tests.supervisors.scripted import Call, statistics
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


class Dear(FlakyService):
    """A dollar a call."""

    def estimate(self, message: object) -> Estimate:
        return Estimate("m", 1.0)


async def serve(system: System, provider: str = "svc", *outcomes: Fail) -> None:
    await system.spawn(Child(provider, Dear.script(outcomes)))


def setting(**numbers: object) -> Settings:
    return Settings(providers={"svc": ProviderSettings(**numbers)})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_rate_limit_is_switched_on_changed_and_off() -> None:
    async with open_system() as system:
        await serve(system)
        ref = system.get("svc")
        system.apply_settings(setting(requests_per_minute=60.0, rate_burst=1.0))
        for _ in range(3):
            await ref.ask(Call())
        assert anyio.current_time() == pytest.approx(2.0)
        system.apply_settings(setting(requests_per_minute=6.0, rate_burst=1.0))
        await ref.ask(Call())
        assert anyio.current_time() == pytest.approx(12.0), "what was used is missing under the new limit"
        system.apply_settings(Settings())
        for _ in range(9):
            await ref.ask(Call())
        assert anyio.current_time() == pytest.approx(12.0)


async def test_a_budget_is_switched_on_changed_and_off() -> None:
    async with open_system() as system:
        await serve(system)
        ref = system.get("svc")
        system.apply_settings(setting(usd_per_day=2.0))
        await ref.ask(Call())
        await ref.ask(Call())
        with pytest.raises(BudgetExceededError):
            await ref.ask(Call())
        system.apply_settings(setting(usd_per_day=3.0, usd_per_minute=1.0))
        await ref.ask(Call())
        with pytest.raises(BudgetExceededError) as refused:
            await ref.ask(Call())
        assert refused.value.limit_usd in (1.0, 3.0)
        system.apply_settings(Settings())
        await ref.ask(Call())


async def test_retries_go_by_the_new_budget() -> None:
    async with open_system() as system:
        await serve(system, "svc", *[Fail(FailureKind.SERVER)] * 3)
        ref = system.get("svc")
        system.apply_settings(setting(retries_per_minute=0.0, retry_share=0.0))
        with pytest.raises(ProviderError):
            await ref.ask(Call())
        system.apply_settings(setting(retries_per_minute=1.0, retry_share=0.0))
        with pytest.raises(RetriesExhaustedError):
            await ref.ask(Call())
        assert statistics(system).failures == {FailureKind.SERVER: 3}


async def test_services_of_an_account_have_to_agree_and_stay_in_it() -> None:
    class Shared(Dear):
        policy = Policy(account="acme", rate_limit=RateLimit(requests_per_minute=60.0))

    async with open_system() as system:
        for provider in ("svc", "other"):
            await system.spawn(Child(provider, Shared.script()))
        with pytest.raises(SettingsError, match="account 'acme' would have several of rate_limit"):
            system.apply_settings(setting(requests_per_minute=5.0))
        both = ProviderSettings(requests_per_minute=5.0)
        changes = system.apply_settings(Settings(providers={"svc": both, "other": both}))
        assert [change.new for change in changes] == [5.0, 5.0]
        moved = ProviderSettings(requests_per_minute=5.0, account="mine")
        changes = system.apply_settings(Settings(providers={"svc": moved, "other": both}))
        assert changes == [SettingChange("svc", "account", "acme", "mine", is_applied=False)]


async def test_another_budget_of_the_services_own_begins_where_it_was() -> None:
    ledger = RetryBudget(share=0.0, per_minute=2.0).ledger()
    assert ledger.grant(0.0)
    ledger.made(0.0)
    ledger.reconfigure(RetryBudget(share=0.0, per_minute=3.0))
    assert ledger.left(0.0) == pytest.approx(2.0)
    purse = CostBudget(usd_per_day=5.0).purse("svc")
    purse.charge(0.0, 2.0, 0.0, is_retry=False)
    purse.reconfigure(CostBudget(usd_per_day=3.0), 0.0)
    assert purse.statistics(0.0).left_usd == {"day": 1.0}
    limiter = RateLimit(tokens_per_minute=60.0, burst=10.0).limiter()
    limiter.take(0.0, 5.0)
    limiter.reconfigure(RateLimit(tokens_per_minute=120.0, burst=10.0), 0.0)
    assert limiter.statistics(0.0).tokens_left == pytest.approx(15.0)
