"""The block: the provider refuses the account, and nobody calls until one trial call went well."""

from __future__ import annotations

from math import inf

from ._failures import FailureKind


class Block:
    """Whether the provider refuses the account. Pure, like the policies; it belongs to one account."""

    __slots__ = ("by", "count", "probe_at", "refuses_until")

    def __init__(self) -> None:
        self.by = FailureKind.QUOTA
        """What blocked it last."""
        self.count = 0
        """How often it was blocked. What was begun before the last time says nothing about it."""
        self.probe_at = -inf
        """When the next trial call may go out."""
        self.refuses_until = -inf
        """Calls are refused before this moment: ``inf`` while a trial call is out."""

    @property
    def is_on(self) -> bool:
        """Tell whether the account is refused, as far as is known."""
        return self.probe_at > -inf

    @property
    def is_probing(self) -> bool:
        """Tell whether a trial call is out."""
        return self.refuses_until == inf

    def shut(self, kind: FailureKind, probe_at: float) -> None:
        """Refuse everybody; a trial call may go out at *probe_at*."""
        self.count += 1
        self.by = kind
        self.probe_at = self.refuses_until = probe_at

    def probe(self) -> None:
        """Note that a call goes out: the trial, where one is due."""
        if self.probe_at > -inf:
            self.refuses_until = inf

    def probe_again(self) -> None:
        """Note that the trial has said nothing: another may go out."""
        if self.refuses_until == inf:
            self.refuses_until = self.probe_at

    def may_be_tried(self, now: float) -> None:
        """Let a trial call go out now, if none is out: something may have been done about it."""
        if self.is_on:
            self.probe_at = min(self.probe_at, now)
            if not self.is_probing:
                self.refuses_until = self.probe_at

    def lift(self) -> None:
        """Let everybody call again."""
        self.probe_at = self.refuses_until = -inf
