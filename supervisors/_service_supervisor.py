"""The supervisor of one service: its lifecycle half. The guard is the other.

It has an intensity of its own and never gives up upward: a service that crashes too often is put
to *failed*, its calls are refused at once, and after a while it is tried again. So a provider that
goes wrong can't take its siblings down with it.
"""

from __future__ import annotations

import msgspec

from ..runtime import SHUTDOWN, Actor, Cell, Exit, ExitReason, StartError
from ._account import Account
from ._child import Child
from ._children import ChildRecord
from ._guarded import GuardedActor
from ._guarded_cell import GuardedCell
from ._keeper import TreeContext
from ._retry_layers import guard_of
from ._retrying_parts import retrying_parts
from ._settings import Settings
from ._specs import Supervisor
from ._supervisor import SupervisorActor
from .policies import Policy

SERVICE = "service"
"""Id of the one child."""


class ServiceSupervisor(SupervisorActor):
    """Keep one service running behind its guard."""

    def __init__(
        self, child: Child, first: GuardedActor, policy: Policy, account: Account, context: TreeContext
    ) -> None:
        super().__init__(Supervisor(child.id, intensity=policy.intensity, period=policy.period), context)
        self._policy = policy
        self._account = account
        self._fixed_policy = child.policy
        self._default_policy = first.policy
        self._fixed_backoff = child.backoff
        self.provider = child.id
        """What settings and metrics call the service."""
        self._first: GuardedActor | None = first
        self._child = Child(
            SERVICE,
            self._next,
            restart=child.restart,
            shutdown=child.shutdown,
            backoff=child.backoff or policy.restart_backoff,
            start_timeout=child.start_timeout,
            name=child.name,
        )
        self._start = child.start
        self._is_on_probation = False
        self._stop_timeout: float | None = None

    def inherit(self, before: Actor) -> None:
        """Take over the service's place from the incarnation *before*: its ref, its queue, its guard.

        Not where the policy is another one now: the guard goes by the old one.
        """
        cell = before.service if isinstance(before, ServiceSupervisor) else None
        if not isinstance(cell, GuardedCell) or not cell.is_alive:
            return
        if cell.policy == self._policy:
            self.children[SERVICE] = ChildRecord(self._child, is_supervisor=False, cell=cell)
            self.front = cell
        else:
            before.killed(SHUTDOWN)

    async def started(self) -> None:
        """Start the service."""
        self.settle()
        record = self.children.get(SERVICE) or self.add(self._child)
        if record.cell is not None:
            record.cell.owner = self
        await self.start_record(record)
        self.front = record.cell

    @property
    def service(self) -> Cell | None:
        """The service's own cell."""
        record = self.children.get(SERVICE)
        return None if record is None else record.cell

    def policy_by(self, settings: Settings) -> Policy:
        """Return the policy that *settings* lead to: none of them changes that of a child spec.

        Raises:
            ValueError: They contradict the policy of the service's class.
        """
        return self._fixed_policy or settings.policy(self.provider, self._default_policy)

    def reconfigure(self, policy: Policy) -> None:
        """Go by another policy from now on. Restarts that wait come when they were to come."""
        self._policy = policy
        self.window.intensity, self.window.period = policy.intensity, policy.period
        backoff = self._fixed_backoff or policy.restart_backoff
        self._child = msgspec.structs.replace(self._child, backoff=backoff)
        for record in self.children.values():
            record.spec = self._child

    def _next(self) -> Actor:
        """Use the object that was made to find out that this is a service, then the factory."""
        first, self._first = self._first, None
        actor = self._start() if first is None else first
        assert isinstance(actor, GuardedActor)
        actor.configured(self.context.settings)
        return actor

    def make(self, record: ChildRecord) -> Actor:
        """Call the service's factory; what it makes is run here, not given a supervisor once more."""
        return self.call_factory(record)

    def new_cell(self, record: ChildRecord, actor: Actor) -> Cell:
        """Make the guarded cell."""
        assert isinstance(actor, GuardedActor)
        return GuardedCell(
            self.kernel,
            self.path_of(record),
            actor,
            self,
            record.spec.shutdown,
            provider=self.provider,
            policy=self._policy,
            account=self._account,
        )

    async def restart(self, record: ChildRecord, reason: ExitReason) -> None:
        """Restart after the backoff; one that crashes again right after its re-probe has failed again."""
        ran = self.kernel.now() - record.began
        if self._is_on_probation and ran < self._policy.failed_probe:
            self.exceeded(record, reason)
            return
        self._is_on_probation = False
        await super().restart(record, reason)

    async def try_again(self, record: ChildRecord) -> None:
        """Try a start again after the backoff; a failed service is only tried at its probes."""
        if self._is_on_probation:
            self._fail(record)
        else:
            await super().try_again(record)

    def look_whether_finished(self, record: ChildRecord, reason: ExitReason) -> None:
        """End with a service that is not to come back.

        Raises:
            Exit: Always. Its crash has been reported, so this is none.
        """
        raise Exit(SHUTDOWN if reason.is_crash else reason)

    def exceeded(self, record: ChildRecord, reason: ExitReason) -> None:
        """Put the service to *failed* instead of giving up."""
        assert record.cell is not None
        self.say_given_up(record.cell, self.loss(record.cell, record, reason))  # not lost: it has its probes
        self._fail(record)

    def _fail(self, record: ChildRecord) -> None:
        cell = record.cell
        assert isinstance(cell, GuardedCell)
        seconds = self._policy.failed_probe
        self.kernel.events.error("provider.failed", provider=self.provider, next_probe_in=seconds)
        cell.fail_until(self.kernel.now() + seconds)
        self.window.clear()
        self._is_on_probation = True
        self.restart_after(record, seconds)

    def has_begun(self, record: ChildRecord) -> None:
        """Take calls again."""
        super().has_begun(record)
        cell = record.cell
        assert isinstance(cell, GuardedCell)
        for part in retrying_parts(cell.actor):
            cell.warn_nested(guard_of(self.provider), part)
        if cell.guard.is_failed:
            cell.guard.recovered()
            self.kernel.events.info("provider.recovered", provider=self.provider)

    async def stop_child(self, cell: Cell, reason: ExitReason, timeout: float | None) -> None:
        """Stop the service for good: this supervisor with it."""
        self._stop_timeout = timeout
        await self.cell.stop(reason, timeout=timeout)
        await cell.stop_and_wait(reason, 0.0, final=True)  # killed, this supervisor did not wait for it

    async def stopping(self, reason: ExitReason) -> None:
        """Stop the service in the time that whoever stops it has set.

        Where only this incarnation ends, the service keeps its place for the next one.
        """
        for record in self.children.values():
            if self.cell.is_alive:
                await self.pause_record(record, SHUTDOWN)
            if not self.cell.is_alive:  # or not any more
                await self.stop_record(record, SHUTDOWN, self._stop_timeout)


def service_supervisor(
    path: str, child: Child, actor: GuardedActor, context: TreeContext
) -> ServiceSupervisor:
    """Put a supervisor around a service, with the child spec's policy, or the settings and the class's.

    Raises:
        StartError: The settings contradict the class's policy, or its limits those of its account.
    """
    try:
        policy = child.policy or context.settings.policy(child.id, actor.policy)
        account = context.accounts.open(policy, child.id)
    except ValueError as error:
        raise StartError(path, str(error), error) from error
    return ServiceSupervisor(child, actor, policy, account, context)
