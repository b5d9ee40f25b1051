"""The fakes as the providers' tests use them, and policies without their long waits."""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager

import msgspec
from anyio.from_thread import BlockingPortal, start_blocking_portal

from relight.actors import Service
from relight.actors.fakes import FakeOptions, Fakes, LogEntry, Step, open_fakes
from relight.runtime import Ref
from relight.supervisors import Child, FailureKind, open_system
from relight.supervisors.policies import Breaker, Exponential, Fixed, Policy

AT_ONCE = FakeOptions(latency=(0.0, 0.0))


class Servers:
    """The fakes, steered from outside the test's event loop; they are processes of their own."""

    def __init__(self, fakes: Fakes, portal: BlockingPortal) -> None:
        self.fakes = fakes
        self._portal = portal

    def script(self, name: str, *steps: Step) -> None:
        self._portal.call(self.fakes.script, name, steps)

    def requests(self, name: str, *operations: str) -> list[LogEntry]:
        entries = self._portal.call(self.fakes.log, name)
        return [entry for entry in entries if not operations or entry.operation in operations]

    def jobs(self) -> dict[str, int]:
        return self._portal.call(self.fakes.statistics, "runpod").jobs

    def reset(self) -> None:
        for name in self.fakes.providers:
            self._portal.call(self.fakes.reset, name)


@contextmanager
def opened_servers(names: Sequence[str], options: FakeOptions = AT_ONCE) -> Generator[Servers]:
    """Open fakes that live longer than one test's event loop."""
    opening = open_fakes(names, options=options)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opening) as fakes:
        yield Servers(fakes, portal)


@asynccontextmanager
async def running_service(
    start: Callable[[], Service], policy: Policy, *, attempt_timeout: float = 30.0
) -> AsyncGenerator[Ref, None]:
    """Run one service behind its guard, with a policy made impatient."""
    policy = msgspec.structs.replace(impatient(policy), attempt_timeout=attempt_timeout)
    async with open_system() as system:
        yield await system.spawn(Child("svc", start, policy=policy))


def impatient(policy: Policy, *, max_wait: float | None = None) -> Policy:
    """Keep everything of *policy* but its long waits and its breaker.

    Args:
        policy: A service's own.
        max_wait: Seconds a server may ask for; None: as *policy* says.
    """
    retry = msgspec.structs.replace(
        policy.retry,
        backoff=Exponential(0.05, jitter="none"),
        backoff_by_kind={FailureKind.RATE_LIMIT: Fixed(0.05)},
        max_wait=policy.retry.max_wait if max_wait is None else max_wait,
    )
    return msgspec.structs.replace(policy, retry=retry, breaker=Breaker(failures=50))
