"""Groups: names for sets of actors that are told the same.

An actor is in a group from its ``join`` to its ``leave`` or its end: across restarts, as a ref and a
mailbox are. An empty group does not exist, so nothing of a name is left when its last member has gone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ._errors import MailboxClosedError, MailboxFullError, NoSuchActorError
from ._refs import cell_of

if TYPE_CHECKING:
    from ._cell import Cell
    from ._messages import Message
    from ._parking import Slot
    from ._ref import Ref


class Groups:
    """The groups of one system that have members."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[str, dict[Cell, None]] = {}

    def members(self, name: str) -> list[Cell]:
        """List the members of a group in the order they joined."""
        return list(self._members.get(name, ()))

    def join(self, name: str, cell: Cell) -> None:
        """Make *cell* a member."""
        self._members.setdefault(name, {})[cell] = None
        cell.tied().groups[name] = None

    def leave(self, name: str, cell: Cell) -> None:
        """Take a member out, if it is one."""
        self.drop(name, cell)
        if cell.ties is not None:
            cell.ties.groups.pop(name, None)
            cell.ties.prune()

    def __len__(self) -> int:
        return len(self._members)

    def drop(self, name: str, cell: Cell) -> None:
        """Take *cell* from the list of members alone; its ties are the caller's."""
        members = self._members.get(name, {})
        members.pop(cell, None)
        if not members:
            self._members.pop(name, None)


class Group:
    """Tell all actors that have joined under one name. Get one from ``system.group``.

    The object is but the name: any number of them may stand for the same group.
    """

    __slots__ = ("_groups", "_name")

    def __init__(self, groups: Groups, name: str) -> None:
        self._groups = groups
        self._name = name

    def __repr__(self) -> str:
        return f"<Group {self._name!r}, {len(self._groups.members(self._name))} members>"

    @property
    def name(self) -> str:
        """The group's name."""
        return self._name

    def join(self, ref: Ref) -> None:
        """Make an actor a member, once however often it joins; it stays one across restarts.

        Raises:
            NoSuchActorError: It has stopped.
            TypeError: It is no actor of a system.
        """
        cell = cell_of(ref)
        if not cell.is_alive:
            raise NoSuchActorError(cell.path)
        self._groups.join(self._name, cell)

    def leave(self, ref: Ref) -> None:
        """Take an actor out of the group; one that is no member is no error."""
        self._groups.leave(self._name, cell_of(ref))

    def members(self) -> list[Ref]:
        """List the members in the order they joined. Who stops is none from that moment on."""
        return list(self._groups.members(self._name))

    async def broadcast(self, message: Message) -> int:
        """Tell every member of now; wait until each has taken *message*.

        Those with room have it before the first wait, and those without have their place in line, so a
        slow member delays no other. Members that stop meanwhile are skipped. Cancelled while it waits,
        those that have not taken the message do not get it.

        Returns:
            How many members took it.
        """
        taken = 0
        waiting: list[Slot] = []
        for cell in self._groups.members(self._name):
            try:
                cell.tell_nowait(message)
                taken += 1
            except MailboxFullError:
                turn = cell.kernel.slot()
                cell.wait_in_line(message, turn)
                waiting.append(turn)
        try:
            for turn in waiting:
                with suppress(MailboxClosedError):
                    await turn
                    taken += 1
        except BaseException:
            for turn in waiting:
                turn.done = True
            raise
        return taken

    def broadcast_nowait(self, message: Message) -> list[Ref]:
        """Tell every member that has room; never waits.

        Returns:
            Those that had none and did not get *message*, in the order they joined.
        """
        full: list[Ref] = []
        for cell in self._groups.members(self._name):
            try:
                cell.tell_nowait(message)
            except MailboxFullError:
                full.append(cell)
        return full
