"""The fakes as the providers' tests use them, and policies without their long waits."""

import msgspec
from anyio.from_thread import BlockingPortal

from relight.actors.fakes import Fakes, LogEntry, Step
from relight.supervisors import FailureKind
from relight.supervisors.policies import Breaker, Exponential, Fixed, Policy


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


def impatient(policy: Policy) -> Policy:
    """Keep everything of *policy* but its long waits and its breaker."""
    retry = msgspec.structs.replace(
        policy.retry,
        backoff=Exponential(0.05, jitter="none"),
        backoff_by_kind={FailureKind.RATE_LIMIT: Fixed(0.05)},
    )
    return msgspec.structs.replace(policy, retry=retry, breaker=Breaker(failures=50))
