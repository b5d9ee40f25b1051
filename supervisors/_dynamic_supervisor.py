"""The dynamic supervisor: children that come and go, all of one kind or each with a spec of its own.

OTP's ``simple_one_for_one`` and Elixir's ``DynamicSupervisor``. Nothing is kept of a child that has
ended, and all stop at the same time, so ten thousand take hardly longer than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import msgspec

from ..runtime import SHUTDOWN, ExitReason, Ref, handles
from ._administration import StartNumbered, TerminateRef
from ._child import Child
from ._children import ChildRecord
from ._errors import ChildNotFoundError, ChildSpecError, MaxChildrenError
from ._keeper import TreeContext
from ._specs import DynamicSupervisor, Spec, Supervisor, numbered
from ._supervisor import SupervisorActor


class DynamicSupervisorActor(SupervisorActor):
    """Keep the children of one `DynamicSupervisor` description running."""

    keeps_ended: ClassVar[bool] = False

    def __init__(self, spec: DynamicSupervisor, context: TreeContext) -> None:
        super().__init__(Supervisor(spec.id, intensity=spec.intensity, period=spec.period), context)
        self._template = spec.template
        self._max_children = spec.max_children
        self._newest = 0
        """Number of the newest child made from the template."""

    async def stopping(self, reason: ExitReason) -> None:
        """Stop all children at the same time, each within its own shutdown time."""
        await self.stop_together(tuple(self.children.values()), SHUTDOWN)

    def add(self, spec: Spec) -> ChildRecord:
        """Take a spec into the list; refuse an id that is there already, and one child too many."""
        is_full = self._max_children is not None and len(self.children) >= self._max_children
        if is_full and spec.id not in self.children:  # who asks for one that runs is told so, and given it
            assert self._max_children is not None
            raise MaxChildrenError(self.cell.path, spec.id, self._max_children)
        record = super().add(spec)
        self._newest += 1  # also for those with ids of their own: a number is never used twice
        return record

    def next_child(self, arguments: tuple[object, ...], named: Mapping[str, object]) -> Child:
        """Make the spec of one more child from the template.

        Raises:
            ChildSpecError: There is no template.
        """
        template = self._template
        if template is None:
            remedy = "must be a Child, where children are started by arguments alone"
            raise ChildSpecError("DynamicSupervisor.template", None, remedy)
        start = partial(template.start, *arguments, **named) if arguments or named else template.start
        return numbered(template, self._newest + 1, start)

    @handles
    async def start_numbered(self, message: StartNumbered) -> Ref:
        """Start one more child from the template."""
        return await self.start_requested(self.next_child(message.arguments, message.named), message.token)

    @handles
    async def terminate_ref(self, message: TerminateRef) -> None:
        """Stop a child by its ref; one that has ended is no error, one of others is."""
        record = self._record_of_ref(message.ref)
        if record is not None:
            await self.stop_record(record, SHUTDOWN)
            self._drop(record)
        elif message.ref.is_alive:
            raise ChildNotFoundError(self.cell.path, message.ref.path)

    def _record_of_ref(self, ref: Ref) -> ChildRecord | None:
        below = f"{self.cell.path}/"
        if not ref.path.startswith(below):
            return None
        record = self.children.get(ref.path[len(below) :].partition("/")[0])
        return record if record is not None and record.cell is not None and record.ref == ref else None

    def has_begun(self, record: ChildRecord) -> None:
        """Note that a child runs; one that never comes back needs its arguments no more."""
        super().has_begun(record)
        if self._template is not None and record.spec.restart == "temporary":
            record.spec = msgspec.structs.replace(record.spec, start=self._template.start)
