"""Worker: a supervised subtree that runs the jobs of some queues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import cast

from ...runtime import ShutdownPhase
from ...supervisors import Child, Spec, Supervisor, SupervisorRef, System
from ...supervisors.policies import Exponential
from ._checks import check_kind, check_number, check_whole
from ._desk import GRACE, Desk
from ._errors import JobSpecError, StoreError
from ._heart import Heart
from ._message_keeper import MessageKeeper
from ._message_log import MessageLog
from ._queue import Queue
from ._reaper import Reaper
from ._retention import Retention, check_ledger_retention, check_retention
from ._runner import Runner
from ._scheduler import Scheduler
from ._store_keeper import StoreKeeper
from ._texts import check_label

_SLACK = 8.0
"""Seconds that jobs which do not give way may take before they are left behind, and their last writes."""
_BACKOFF = Exponential(0.5, cap=30.0)
_INTENSITY = 20
"""More restarts a minute than this backoff allows: a store may be read-only until somebody comes to work."""


class Worker:
    """Run the jobs of some queues.

        async with relight.open_system() as system:
            await Worker(queue, concurrency=20).start(system)

    It is a subtree of supervised actors: the store, the lease, the runner, the reaper, the scheduler, the
    keeper of undeliverable messages. Any number of workers, in any number of processes, may share a store.

    Args:
        queues: What it takes jobs from; all of one store.
        concurrency: Jobs it runs at a time. One whose function has ended makes room for the next.
        lease: Seconds without a sign of life after which other workers take its jobs.
        drain: Seconds that jobs may go on when it ends; then they are given back at their next step, or five
            seconds later wherever they are, to go on at another worker from there.
        retention: Seconds that ended jobs, dead ones too, their events and undeliverable messages are kept;
            None: for ever.
        ledger_retention: Seconds that the ledger of what was spent is kept, two days at the least, which
            budgets of the day need; None: for ever.
        messages: So many of the system's undeliverable messages are kept in the store, the newest, for people
            at other processes (see `DeadLetterOffice`); 0: none.
        id: Of the subtree's supervisor.

    Raises:
        JobSpecError: One of *queues* is no queue, they are of several stores, or two share a name, or a
            number is out of range.
    """

    def __init__(
        self,
        queues: Queue | Sequence[Queue],
        *,
        concurrency: int = 10,
        lease: float = 15.0,
        drain: float = 20.0,
        retention: float | None = None,
        ledger_retention: float | None = None,
        messages: int = 1000,
        id: str = "jobs",  # noqa: A002 - as of other specs
    ) -> None:
        chosen = _chosen(queues)
        _check_together(chosen)
        check_whole("Worker.concurrency", concurrency, 1)
        check_number("Worker.lease", lease, least=1.0, of="seconds")
        check_number("Worker.drain", drain, of="seconds")
        _check_id(id)
        check_retention("Worker.retention", retention)
        check_ledger_retention("Worker.ledger_retention", ledger_retention)
        check_whole("Worker.messages", messages, 0)
        self.id = id
        self._queues = {queue.name: queue for queue in chosen}
        self._store = chosen[0].store
        self._concurrency = concurrency
        self._lease = lease
        self._drain = drain
        self._retention = Retention(jobs=retention, ledger=ledger_retention)
        self._desk: Desk | None = None
        self._log = MessageLog(self._store, messages, chosen[0].clock)

    def __repr__(self) -> str:
        return f"<Worker {self.id} of {', '.join(self._queues)}>"

    async def start(self, system: System) -> SupervisorRef:
        """Start it below the root of *system*, and have it end with the system in good order.

        In the system's INTAKE phase it stops claiming jobs, in DRAIN it waits for those at hand, in CLOSE it
        keeps the messages that stopped actors have left.

        Raises:
            StartError: It did not start, because the store can't be opened, say.
            AlreadyStartedError: Another worker has this id.
        """
        ref = await system.spawn(self.spec())
        system.at_shutdown(ShutdownPhase.INTAKE, self._close, name=f"{self.id} intake")
        system.at_shutdown(
            ShutdownPhase.DRAIN, self._finish, name=f"{self.id} drain", timeout=self._drain + GRACE + _SLACK
        )
        system.at_shutdown(ShutdownPhase.CLOSE, self._keep_messages, name=f"{self.id} messages")
        return ref

    def spec(self) -> Supervisor:
        """Return the subtree as a spec, to be started by a supervisor of yours.

        Started so, it takes no part in the system's phases: it drains when its supervisor stops it.
        """
        return Supervisor(
            self.id,
            strategy="rest_for_one",
            intensity=_INTENSITY,
            period=60.0,
            backoff=_BACKOFF,
            children=self._children,
        )

    def _children(self) -> Sequence[Spec]:
        desk = self._desk = Desk(
            self._queues,
            self._store,
            concurrency=self._concurrency,
            lease=self._lease,
            drain=self._drain,
        )
        drain = self._drain + GRACE + _SLACK
        return [
            Child("store", partial(StoreKeeper, desk), backoff=_BACKOFF),
            Child("heart", partial(Heart, desk), backoff=_BACKOFF, start_timeout=3600.0),
            Child("runner", partial(Runner, desk), backoff=_BACKOFF, shutdown=drain),
            Child("reaper", partial(Reaper, desk, self._retention), backoff=_BACKOFF),
            Child("scheduler", partial(Scheduler, desk), backoff=_BACKOFF),
            Child("messages", partial(MessageKeeper, desk, self._log), backoff=_BACKOFF),
        ]

    async def _close(self) -> None:
        if self._desk is not None:
            self._desk.is_ending = True
            self._desk.close()

    async def _finish(self) -> None:
        if self._desk is not None:
            await self._desk.drain()

    async def _keep_messages(self) -> None:
        """Keep what died after the worker had stopped: it opens the store once more."""
        if not self._log.is_behind:
            return
        try:
            async with self._store.opened():
                await self._log.keep_rest()
        except StoreError as error:
            self._log.drop_rest(error)


def _chosen(queues: object) -> Sequence[Queue]:
    is_one = isinstance(queues, Queue) or not hasattr(queues, "__iter__")
    chosen = (queues,) if is_one else tuple(cast("Iterable[object]", queues))
    for queue in chosen:
        check_kind("Worker.queues", queue, Queue, "queues", "write Worker(queue)")
    return cast("Sequence[Queue]", chosen)


def _check_id(id_: object) -> None:
    check_label("Worker.id", id_)
    if "/" in str(id_) or not str(id_).isprintable():
        raise JobSpecError("Worker.id", f"must be a printable name without '/', got {id_!r}")


def _check_together(queues: Sequence[Queue]) -> None:
    if not queues:
        raise JobSpecError("Worker.queues", "must hold a queue, got none: write Worker(queue)")
    if any(queue.store is not queues[0].store for queue in queues):
        raise JobSpecError("Worker.queues", "must share one store: start a worker for each store")
    if len({queue.name for queue in queues}) < len(queues):
        names = sorted(queue.name for queue in queues)
        raise JobSpecError(
            "Worker.queues", f"must have names of their own, got {names!r}: name each Queue(store, name)"
        )
