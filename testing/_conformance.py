"""Check that an actor keeps the rules by which relight runs actors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import ClassVar

from ..runtime import Actor, Message
from ..supervisors.policies import Policy
from ._conformance_checks import CHECKS, Check
from ._subject import Subject


class ConformanceError(AssertionError):
    """An actor breaks rules. The text has a line for each, with what was seen and the remedy."""

    def __init__(self, actor: str, failures: dict[str, str], checked: int) -> None:
        lines = [f"  {name}: {problem}" for name, problem in failures.items()]
        super().__init__(f"{actor} breaks {len(failures)} of {checked} rules\n" + "\n".join(lines))
        self.failures = failures
        """What is wrong, by the name of the check."""


async def check_actor_conformance(
    factory: Callable[[], Actor],
    messages: Iterable[Message],
    *,
    checks: Collection[str] | None = None,
    skip: Collection[str] = (),
    stop_within: float = 5.0,
    step_within: float = 0.05,
    timeout: float = 30.0,
    rounds: int = 100,
    shares: Collection[str] = (),
    policy: Policy | None = None,
) -> None:
    """Run an actor, or a service, through every check of `ACTOR_CHECKS`, each in a system of its own.

    Best in virtual time, where hooks and handlers that wait take none. Crashes are part of it: give it
    what may be crashed, so no live accounts.

    Args:
        factory: Makes a new actor, as for `Child`.
        messages: Samples of what it handles, one or more of each type; each must be handled without a
            crash, as often as it is sent. An answer by exception (``declines``, `ProviderError`) is none.
        checks: Names of the checks to run; None: all.
        skip: Names of checks not to run.
        stop_within: Seconds its stop may take.
        step_within: Seconds of real time a handler may hold the event loop between two awaits.
        timeout: Seconds for the reply to each message.
        rounds: How often it is started and stopped in search of leaks.
        shares: Attributes that all its incarnations share on purpose.
        policy: For a service: its policy, instead of the class's.

    Raises:
        ConformanceError: It breaks at least one rule.
        ValueError: There is no check of that name.
    """
    subject = Subject(
        factory,
        tuple(messages),
        stop_within=stop_within,
        step_within=step_within,
        timeout=timeout,
        rounds=rounds,
        shares=frozenset(shares),
        policy=policy,
    )
    chosen = _chosen(checks, skip)
    failures: dict[str, str] = {}
    for check in chosen:
        try:
            await check(subject)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other checks tell more
            failures[check.__name__] = _problem(error)
    if failures:
        raise ConformanceError(subject.name, failures, len(chosen))


def _chosen(checks: Collection[str] | None, skip: Collection[str]) -> list[Check]:
    known = {check.__name__: check for check in CHECKS}
    for name in (*(checks or ()), *skip):
        if name not in known:
            raise ValueError(f"there is no check {name!r}: choose from {', '.join(known)}")
    return [check for name, check in known.items() if (checks is None or name in checks) and name not in skip]


def _problem(error: Exception) -> str:
    if isinstance(error, AssertionError):
        return str(error)
    return f"{type(error).__name__}: {error}"


ACTOR_CHECKS: tuple[str, ...] = tuple(check.__name__ for check in CHECKS)
"""Names of all checks, to parametrize a test with."""


class ActorConformance:
    """The checks as a class of tests, one a check. Subclass it in a test module and mark it anyio or trio.

    @pytest.mark.anyio
    class TestCounter(ActorConformance):
        messages = (Add(1), Total())

        def make(self) -> Actor:
            return Counter()
    """

    messages: ClassVar[Sequence[Message]] = ()
    """Samples of what the actor handles."""
    options: ClassVar[Mapping[str, object]] = {}
    """Other arguments of `check_actor_conformance`."""

    def make(self) -> Actor:
        """Make a new actor."""
        raise NotImplementedError(f"{type(self).__name__}.make() must return a new actor")

    async def check(self, name: str) -> None:
        """Run one check."""
        await check_actor_conformance(self.make, self.messages, checks=[name], **self.options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def test_handles_its_messages(self) -> None:
        """Run the check ``handles_its_messages``."""
        await self.check("handles_its_messages")

    async def test_survives_askers_that_leave(self) -> None:
        """Run the check ``survives_askers_that_leave``."""
        await self.check("survives_askers_that_leave")

    async def test_restarts_afresh(self) -> None:
        """Run the check ``restarts_afresh``."""
        await self.check("restarts_afresh")

    async def test_keeps_state_apart(self) -> None:
        """Run the check ``keeps_state_apart``."""
        await self.check("keeps_state_apart")

    async def test_stops_in_time(self) -> None:
        """Run the check ``stops_in_time``."""
        await self.check("stops_in_time")

    async def test_starts_and_stops_without_leaks(self) -> None:
        """Run the check ``starts_and_stops_without_leaks``."""
        await self.check("starts_and_stops_without_leaks")

    async def test_ignores_unknown_messages(self) -> None:
        """Run the check ``ignores_unknown_messages``."""
        await self.check("ignores_unknown_messages")

    async def test_leaves_no_context_variables(self) -> None:
        """Run the check ``leaves_no_context_variables``."""
        await self.check("leaves_no_context_variables")

    async def test_handles_as_many_at_once_as_declared(self) -> None:
        """Run the check ``handles_as_many_at_once_as_declared``."""
        await self.check("handles_as_many_at_once_as_declared")

    async def test_sends_messages_as_data(self) -> None:
        """Run the check ``sends_messages_as_data``."""
        await self.check("sends_messages_as_data")

    async def test_never_blocks_the_loop(self) -> None:
        """Run the check ``never_blocks_the_loop``."""
        await self.check("never_blocks_the_loop")
