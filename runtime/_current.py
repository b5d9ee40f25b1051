"""The request in hand: how an ask made by a handler finds the deadline it inherits."""

from contextvars import ContextVar

from ._parking import Slot

current_request: ContextVar[Slot | None] = ContextVar("relight_current_request", default=None)
"""Set while a handler works on an ask, reset after it. Never set for a told message: two
operations on a context variable would cost a tell half its speed."""
