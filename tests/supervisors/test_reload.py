"""Settings may change while the system runs: numbers change, what is under way stays."""

from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import AskTimeoutError, Ref, SettingsError, handles
from relight.supervisors import (
    Child,
    FailureKind,
    OperationSettings,
    PriceSettings,
    ProviderBlockedError,
    ProviderError,
    ProviderSettings,
    RetriesExhaustedError,
    SettingChange,
    Settings,
    Supervisor,
    System,
    open_system,
)
from relight.supervisors.policies import CircuitState, Exponential, Policy, Retry
from tests.supervisors.scripted import (
    PROVIDER,
    STEADY,
    Askers,
    Call,
    Script,
    Scripted,
    Step,
    at_rest,
    bug,
    fails,
    hangs,
    limited,
    listen,
    ok,
    policy,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


NARROW = Policy(retry=STEADY.retry, concurrency=policy(concurrency=1).concurrency, mailbox=2)


class Tunable(Scripted):
    """A service whose policy is its class's, so that settings count."""

    policy = STEADY

    def __init__(self, script: Script, own: Policy = STEADY) -> None:
        super().__init__(script)
        self.policy = own  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.heard: list[Settings] = []

    def configured(self, settings: Settings) -> None:
        self.heard.append(settings)


async def serve(system: System, script: Script, own: Policy = STEADY) -> Ref:
    return await system.spawn(Child(PROVIDER, partial(Tunable, script, own)))


def setting(**numbers: float) -> Settings:
    return Settings(providers={PROVIDER: ProviderSettings(**numbers)})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def script_of(*steps: Step) -> Script:
    script = Script()
    script.plan(*steps)
    return script


async def test_a_retry_that_waits_goes_by_the_new_number_of_attempts() -> None:
    script = script_of(*[server()] * 3)
    async with open_system() as system, Askers(await serve(system, script)) as askers:
        outcome = await askers.ask("a")
        await wait_all_tasks_blocked()
        changes = system.apply_settings(setting(attempts=2))
    assert changes == [SettingChange(PROVIDER, "attempts", 3, 2)]
    assert isinstance(outcome.value, RetriesExhaustedError)
    assert (outcome.value.attempts, outcome.at) == (2, 1.0)


async def test_counts_are_kept() -> None:
    async with open_system() as system:
        ref = await serve(system, script_of(server()))
        await ref.ask(Call())
        before = statistics(system)
        system.apply_settings(setting(attempts=1, concurrency=3, mailbox=9))
        after = await at_rest(system)
        assert (after.calls, after.attempts, after.retries) == (before.calls, before.attempts, before.retries)
        assert (after.bulkhead.limit, after.actor.capacity) == (3, 9)


async def test_a_higher_limit_begins_what_is_queued_at_once() -> None:
    script = script_of(*[ok(10.0)] * 6)
    async with open_system() as system, Askers(await serve(system, script, policy(concurrency=1))) as askers:
        await askers.ask_all("abcdef")
        await wait_all_tasks_blocked()
        assert script.running == 1
        system.apply_settings(setting(concurrency=4))
        await wait_all_tasks_blocked()
        assert script.running == 4
    assert script.peak == 4
    assert [outcome.at for outcome in askers.outcomes] == [10.0] * 4 + [20.0] * 2


async def test_a_lower_limit_leaves_what_is_in_flight_alone() -> None:
    script = script_of(*[ok(10.0)] * 6)
    async with open_system() as system, Askers(await serve(system, script, policy(concurrency=4))) as askers:
        await askers.ask_all("abcdef")
        await wait_all_tasks_blocked()
        system.apply_settings(setting(concurrency=1))
    assert script.peak == 4
    assert [outcome.at for outcome in askers.outcomes] == [10.0] * 4 + [20.0, 30.0]


async def test_a_limit_raised_while_a_rate_limit_keeps_it_down_is_grown_into() -> None:
    script = script_of(limited(5.0), *[ok(10.0)] * 30)
    async with open_system() as system, Askers(await serve(system, script, policy(concurrency=2))) as askers:
        await askers.ask("limited")
        await wait_all_tasks_blocked()
        system.apply_settings(setting(concurrency=8))
        await askers.ask_all("abcdefghijklmnopqrst")
    assert script.peak == 8, "one more for each success"
    assert len(script.seen) == 22


async def test_more_room_lets_waiting_senders_in_and_less_throws_nobody_out() -> None:
    script = script_of(*[ok(10.0)] * 9)
    async with (
        open_system() as system,
        Askers(await serve(system, script, NARROW)) as askers,
    ):
        await askers.ask_all("abcdef")
        await wait_all_tasks_blocked()
        assert statistics(system).actor.waiting == 3
        system.apply_settings(setting(mailbox=4))
        await wait_all_tasks_blocked()
        assert (statistics(system).actor.queued, statistics(system).actor.waiting) == (4, 1)
        system.apply_settings(setting(mailbox=1))
        await wait_all_tasks_blocked()
        assert (statistics(system).actor.queued, statistics(system).actor.waiting) == (4, 1)
    assert [outcome.at for outcome in askers.outcomes] == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


async def test_the_breaker_counts_on_with_its_new_numbers() -> None:
    script = script_of(*[server()] * 3)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1))
        for _ in range(2):
            with pytest.raises(ProviderError):
                await ref.ask(Call())
        system.apply_settings(setting(breaker_failures=3, breaker_open_seconds=7.0))
        with pytest.raises(ProviderError):
            await ref.ask(Call())
        assert statistics(system).state == "breaker_open"
        await anyio.sleep(7.0)
        assert statistics(system).state == "half_open"


async def test_an_open_breaker_stays_open_as_long_as_it_was_to() -> None:
    script = script_of(*[server()] * 5)
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1))
        for _ in range(5):
            with pytest.raises(ProviderError):
                await ref.ask(Call())
        system.apply_settings(setting(breaker_open_seconds=100.0))
        await anyio.sleep(29.0)
        assert statistics(system).state == "breaker_open"
        await anyio.sleep(1.0)
        assert statistics(system).state == "half_open"


async def test_a_breaker_can_be_switched_on_and_off_again() -> None:
    script = script_of(*[server()] * 3, ok(5.0))
    async with open_system() as system:
        ref = await serve(system, script, policy(attempts=1, breaker=None))
        said = listen(system, "breaker.transition")
        system.apply_settings(setting(breaker_failures=3))
        for _ in range(3):
            with pytest.raises(ProviderError):
                await ref.ask(Call())
        assert [event["to"] for event in said] == ["open"]
        await anyio.sleep(30.0)
        async with Askers(ref) as askers:  # its probe is out while the breaker goes
            outcome = await askers.ask("a")
            await wait_all_tasks_blocked()
            system.apply_settings(Settings())
            assert statistics(system).breaker is None
        assert outcome.value == "a 1"
        await at_rest(system)


async def test_a_pause_stays() -> None:
    script = script_of(limited(20.0))
    async with open_system() as system, Askers(await serve(system, script)) as askers:
        await askers.ask("limited")
        await wait_all_tasks_blocked()
        system.apply_settings(setting(attempts=5))
        assert statistics(system).state == "paused"
        outcome = await askers.ask("later")
    assert outcome.at >= 20.0


@pytest.mark.parametrize("kind", [FailureKind.AUTH, FailureKind.QUOTA])
async def test_a_blocked_provider_is_tried_at_once(kind: FailureKind) -> None:
    script = script_of(fails(kind), fails(kind))
    async with open_system() as system:
        ref = await serve(system, script)
        with pytest.raises(ProviderError):
            await ref.ask(Call())
        with pytest.raises(ProviderBlockedError):
            await ref.ask(Call())
        system.apply_settings(Settings())
        with pytest.raises(ProviderError):
            await ref.ask(Call("still"))
        with pytest.raises(ProviderBlockedError) as refused:
            await ref.ask(Call())
        assert refused.value.retry_after == 300.0
        system.apply_settings(setting(blocked_probe=10.0))
        assert await ref.ask(Call("well")) == "well 1"
        assert statistics(system).state == "ok"
    assert script.names == ["", "still", "well"]


async def test_a_service_that_was_started_anew_with_another_key_is_tried_at_once() -> None:
    keys = ["wrong", "right"]

    class Keyed(Scripted):
        def __init__(self, key: str) -> None:
            super().__init__(script)
            self.key = key

        @handles
        async def call(self, message: Call) -> str:
            if self.key == "wrong":
                raise ProviderError(PROVIDER, FailureKind.AUTH, "no")
            return self.key

    script = Script()
    async with open_system() as system:
        ref = await system.spawn(Child(PROVIDER, lambda: Keyed(keys.pop(0))))
        with pytest.raises(ProviderError):
            await ref.ask(Call())
        system.kill(ref)
        system.apply_settings(Settings())
        assert await ref.ask(Call()) == "right"
        assert statistics(system).state == "ok"


async def test_each_change_is_an_event_and_no_change_is_none() -> None:
    async with open_system() as system:
        await serve(system, Script())
        said = listen(system, "settings.changed")
        new = Settings(
            log_level="debug",
            litellm_prices=False,
            prices={"m": PriceSettings(input=2.0)},
            providers={
                PROVIDER: ProviderSettings(max_wait=60.0, operations={"Call": OperationSettings(attempts=2)})
            },
        )
        changes = system.apply_settings(new)
        assert [(change.name, change.old, change.new, change.is_applied) for change in changes[:4]] == [
            ("log_level", "info", "debug", False),
            ("litellm_prices", True, False, True),
            ("prices.m.input", None, 2.0, True),
            ("max_wait", 120.0, 60.0, True),
        ]
        assert SettingChange(PROVIDER, "operations.Call.attempts", None, 2) in changes
        assert [event["name"] for event in said] == [change.name for change in changes]
        assert said[0] == {
            "provider": "",
            "name": "log_level",
            "old": "info",
            "new": "debug",
            "applied": False,
        }
        assert system.apply_settings(new) == []
        assert len(said) == len(changes)


async def test_an_operation_may_be_given_numbers_of_its_own() -> None:
    script = script_of(*[server()] * 4)
    async with open_system() as system:
        ref = await serve(system, script)
        for attempts in (1, 2):
            operations = {"call": OperationSettings(attempts=attempts)}
            system.apply_settings(Settings(providers={PROVIDER: ProviderSettings(operations=operations)}))
            with pytest.raises(ProviderError):
                await ref.ask(Call())
        assert len(script.seen) == 3
        system.apply_settings(Settings())
        assert await ref.ask(Call()) == " 2"


async def test_an_operation_may_be_given_a_time_for_its_calls() -> None:
    script = script_of(hangs())
    async with open_system() as system:
        ref = await serve(system, script)
        operations = {"Call": OperationSettings(call_timeout=4.0)}
        system.apply_settings(Settings(providers={PROVIDER: ProviderSettings(operations=operations)}))
        with pytest.raises(AskTimeoutError):
            await ref.ask(Call())
        assert anyio.current_time() == 4.0


async def test_where_one_setting_is_wrong_nothing_is_applied() -> None:
    async with open_system() as system:
        await serve(system, Script())
        await system.spawn(
            Child("slow", partial(Tunable, Script(), Policy(retry=Retry(backoff=Exponential(5.0)))))
        )
        providers = {PROVIDER: ProviderSettings(attempts=9), "slow": ProviderSettings(max_delay=2.0)}
        with pytest.raises(SettingsError, match=r"^providers\.slow: initial_delay \(5 s\) is longer than"):
            system.apply_settings(Settings(providers=providers))
        assert system.apply_settings(Settings()) == []


async def test_the_policy_of_a_child_spec_stays() -> None:
    async with open_system() as system:
        await system.spawn(Child(PROVIDER, lambda: Tunable(Script()), policy=STEADY))
        assert system.apply_settings(setting(attempts=9)) == []


async def test_what_is_started_later_goes_by_the_new_settings() -> None:
    script = script_of(*[server()] * 5)
    async with open_system() as system:
        system.apply_settings(setting(attempts=1))
        ref = await serve(system, script)
        with pytest.raises(ProviderError):
            await ref.ask(Call())
        assert len(script.seen) == 1


async def test_a_service_that_restarts_keeps_what_was_applied() -> None:
    script = script_of(bug(), server())
    async with open_system() as system:
        await system.spawn(Supervisor("tree", children=[Child(PROVIDER, partial(Tunable, script))]))
        ref = system.get(f"tree/{PROVIDER}")
        system.apply_settings(setting(attempts=1))
        with pytest.raises(Exception, match="crashed"):
            await ref.ask(Call())
        with pytest.raises(ProviderError):
            await ref.ask(Call())
        assert len(script.seen) == 2


async def test_a_crashed_service_is_restarted_by_the_new_numbers() -> None:
    script = script_of(*[bug()] * 3)
    async with open_system() as system:
        ref = await serve(system, script)
        failed = listen(system, "provider.failed")
        system.apply_settings(setting(intensity=1, failed_probe=12.0, period=50.0))
        for _ in range(2):
            with pytest.raises(Exception, match="crashed"):
                await ref.ask(Call())
            await anyio.sleep(2.0)
        assert failed == [{"provider": PROVIDER, "next_probe_in": 12.0}]


async def test_the_wait_before_a_restart_changes_too() -> None:
    script = script_of(bug())
    async with open_system() as system:
        ref = await serve(system, script)
        system.apply_settings(setting(restart_initial_delay=10.0, restart_max_delay=10.0))
        with pytest.raises(Exception, match="crashed"):
            await ref.ask(Call())
        await wait_all_tasks_blocked()
        (due,) = system.restarts_due()
        assert due[1] != 1.0, "its policy's"
        await ref.ask(Call())
        assert script.incarnations == 2


async def test_a_service_hears_of_settings_before_its_start_and_at_each_change() -> None:
    made: list[Tunable] = []

    def make() -> Tunable:
        made.append(Tunable(Script()))
        return made[-1]

    first, second = setting(attempts=2), setting(attempts=3)
    async with open_system(settings=first) as system:
        await system.spawn(Child(PROVIDER, make))
        system.apply_settings(second)
    assert made[-1].heard == [first, second]


async def test_a_system_without_services_takes_settings_too() -> None:
    async with open_system() as system:
        assert system.apply_settings(setting(attempts=9)) == []


async def test_a_half_open_breaker_with_fewer_probes_still_closes() -> None:
    script = script_of(*[server()] * 5)
    async with open_system(settings=setting(probes=3)) as system:
        ref = await serve(system, script, policy(attempts=1))
        for _ in range(5):
            with pytest.raises(ProviderError):
                await ref.ask(Call())
        await anyio.sleep(30.0)
        await ref.ask(Call())
        await ref.ask(Call())
        system.apply_settings(setting(probes=1))
        await ref.ask(Call())
        breaker = statistics(system).breaker
        assert breaker is not None
        assert breaker.state is CircuitState.CLOSED
