"""What a system offers between its actors, and to those who look at them from outside."""

from __future__ import annotations

from ..runtime import (
    KILLED,
    Change,
    ExitReason,
    Group,
    Kernel,
    Monitor,
    NoSuchActorError,
    Ref,
    Trace,
    cell_of,
    replace_state,
    resume,
    state_of,
    suspend,
    trace,
)


class SystemTies:
    """The part of `System` about ties between actors, and about single ones looked at from outside."""

    _kernel: Kernel

    # --- ends ----------------------------------------------------------------------------------------

    def monitor(self, ref: Ref, *, notify: Ref | None = None) -> Monitor:
        """Watch the incarnation that runs behind *ref* now; reports at once if it has ended.

        Args:
            ref: Whose end.
            notify: An actor that is told a `Down`, before whatever it has queued, for as long as its own
                incarnation lives. Without one, keep the monitor and wait on it.
        """
        return self._kernel.monitors.watch(cell_of(ref), None if notify is None else cell_of(notify))

    def link(self, one: Ref, other: Ref) -> None:
        """Have the end of either actor's incarnation send an exit signal to the other.

        A reason other than normal ends the other with the same reason, in order: what it has in hand is
        cancelled, its stop hook runs. One with ``traps_exits`` is told an `Exited` instead. The link is
        between the incarnations that live now: a restart is a new process without links. If one of them
        is dead already the other gets its signal at once, with a `NoSuchActorError`.
        """
        self._kernel.links.link(cell_of(one), cell_of(other))

    def unlink(self, one: Ref, other: Ref) -> None:
        """Undo a link, from either end; no link is no error."""
        self._kernel.links.unlink(cell_of(one), cell_of(other))

    def exit(self, ref: Ref, reason: ExitReason, *, sender: Ref | None = None) -> None:
        """Send an exit signal, as the end of a linked actor would.

        A normal one is ignored by whoever does not trap exits; a supervisor ignores all; a killed one
        can't be trapped: it is a `kill`. Whether the actor is started again is its restart type.

        Args:
            ref: To whom.
            reason: What an actor that does not trap exits ends with.
            sender: What one that does is told as ``Exited.ref``.
        """
        self._kernel.links.exit(cell_of(ref), reason, None if sender is None else cell_of(sender))

    def kill(self, ref: Ref) -> None:
        """End an actor's incarnation at once, also in the middle of a handler.

        Its handlers are cancelled, its askers fail now, its stop hook does not run; a supervisor's
        children are killed with it. What is queued stays for the next incarnation, if its restart type
        (a kill counts as a crash) gives it one. Nobody else notices. A stopped actor is no error.
        """
        cell_of(ref).kill(KILLED, final=False)

    # --- names and groups ----------------------------------------------------------------------------

    def register(self, name: str, ref: Ref) -> None:
        """Give a live actor one more name, free again when it has ended.

        Raises:
            NameTakenError: A live actor has the name; carries its ref.
            NoSuchActorError: The actor has stopped.
        """
        cell = cell_of(ref)
        if not cell.is_alive:
            raise NoSuchActorError(cell.path)
        self._kernel.registry.claim(name, cell)

    def unregister(self, name: str) -> None:
        """Free an extra name of a live actor.

        Raises:
            NoSuchActorError: It is no actor's extra name. A path is an actor's own and stays.
        """
        self._kernel.registry.release(name)

    def group(self, name: str) -> Group:
        """Return the group of this name, to join it or to tell its members. It need not have any."""
        return Group(self._kernel.groups, name)

    # --- looking at one actor and holding it -----------------------------------------------------------

    def state(self, ref: Ref) -> dict[str, object]:
        """Look at an actor's attributes, or what its ``describe`` returns: without secrets, bounded.

        It looks at once, also in the middle of a handler.

        Raises:
            NoSuchActorError: The actor has stopped.
        """
        return state_of(cell_of(ref))

    def suspend(self, ref: Ref) -> None:
        """Have an actor begin no more messages until `resume`; what it has in hand goes on.

        Its messages queue, askers' deadlines hold, and it can be stopped. A suspended supervisor decides
        nothing. A new incarnation is not suspended.

        Raises:
            NotRunningError: It does not run.
        """
        suspend(cell_of(ref))

    def resume(self, ref: Ref) -> None:
        """Have a suspended actor handle messages again; one that is not suspended is no error."""
        resume(cell_of(ref))

    async def replace_state(self, ref: Ref, change: Change, *, timeout: float = 5.0) -> dict[str, object]:
        """Change an actor's attributes between two messages, when nothing of it is in hand.

        Args:
            ref: The actor.
            change: Gets a copy of its attributes and returns the new ones. If it raises, nothing has
                changed and the error is the caller's.
            timeout: Seconds to wait for what is in hand. No other message is begun meanwhile.

        Returns:
            The new attributes.

        Raises:
            NotRunningError: It does not run, or its incarnation ended meanwhile.
            ActorBusyError: The time was up. Nothing has changed.
            RelightError: The actor called it of itself.
        """
        return await replace_state(cell_of(ref), change, timeout)

    def trace(self, ref: Ref, *, size: int = 1000) -> Trace:
        """Read along what an actor handles: use it as a context manager, and iterate.

        Args:
            ref: The actor. Others, and this one after the block, pay nothing.
            size: Entries kept for a reader that is behind; then the oldest go, counted.

        Raises:
            NoSuchActorError: The actor has stopped.
        """
        return trace(cell_of(ref), size)
