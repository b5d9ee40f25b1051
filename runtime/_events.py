"""Events: what the runtime says happened, as log lines and to listeners in the process.

Each event has a name, ``noun.verb``, and a fixed set of fields (docs/reference/events.md). Never
one per message: counters are for that. Texts of errors pass `redact`, so no key reaches a log.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping

from ._exits import ExitReason, primary_error, text_of
from ._logging import Logger, event_logger
from ._redaction import redact, redact_end

Listener = Callable[[str, Mapping[str, object]], None]
"""Called with the event's name and fields, in the task that emits it. Must not wait. One that raises is
told of nothing more: what watches actors must not end them."""


class Events:
    """The event stream of one system."""

    __slots__ = ("_is_enabled_for", "_listeners", "_logger", "now")

    def __init__(self, now: Callable[[], float], logger: Logger | None = None) -> None:
        self.now = now
        self._logger = bound = (logger or event_logger()).bind()
        # An application's own kind of logger need not be one that filters.
        is_filtering = hasattr(type(bound), "is_enabled_for")
        self._is_enabled_for = bound.is_enabled_for if is_filtering else _yes
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* for each event from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def is_heard(self, level: int) -> bool:
        """Tell whether anybody would see an event of this level: saves what it costs to describe one."""
        return bool(self._listeners) or self._is_enabled_for(level)

    def info(self, event: str, /, **fields: object) -> None:
        """Say something that is as it should be."""
        if self.is_heard(logging.INFO):
            self._logger.info(event, **fields)
            self._tell(event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Say something a person may want to look at."""
        self._logger.warning(event, **fields)
        self._tell(event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Say something a person should look at."""
        self._logger.error(event, **fields)
        self._tell(event, fields)

    def log(self, event: str, /, **fields: object) -> None:
        """Log an error and tell no listener: for threads beside the loop's, while that is stuck."""
        self._logger.error(event, **fields)

    def tell(self, event: str, /, **fields: object) -> None:
        """Tell the listeners of what another thread has logged. On the loop's thread."""
        self._tell(event, fields)

    def _tell(self, event: str, fields: Mapping[str, object]) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event, fields)
            except Exception:
                self._listeners.remove(listener)
                self._logger.exception("events.listener_failed", event_name=event)

    # --- the runtime's own events ------------------------------------------------------------

    def crashed(self, path: str, kind: str, message: str, error: BaseException) -> None:
        """``actor.crashed``: with the traceback; the message by its type alone, as it may hold secrets."""
        if not self.is_heard(logging.ERROR):
            return
        primary = primary_error(error)
        self.error(
            "actor.crashed",
            actor_path=path,
            kind=kind,
            message=message,
            error_type=type(primary).__name__,
            error=redact(text_of(primary)),
            traceback=redact_traceback(error),
        )

    def stop_failed(self, path: str, error: BaseException) -> None:
        """``actor.stop_failed``: a stop hook or the end of a lifespan raised."""
        primary = primary_error(error)
        self.error(
            "actor.stop_failed",
            actor_path=path,
            error_type=type(primary).__name__,
            error=redact(text_of(primary)),
            traceback=redact_traceback(error),
        )

    def stop_overran(self, path: str, seconds: float) -> None:
        """``actor.stop_overran``: a stop hook took longer than its shutdown time and was cancelled."""
        self.error("actor.stop_overran", actor_path=path, shutdown=seconds)

    def stuck(self, path: str, reason: ExitReason) -> None:
        """``actor.stuck``: something of an ended actor does not unwind and was left behind."""
        self.error("actor.stuck", actor_path=path, reason=str(reason))

    def dead_letter(self, path: str, message: str, reason: str, count: int) -> None:
        """``message.dead_lettered``: sampled, the count says how many there were for this reason."""
        self.warning("message.dead_lettered", actor_path=path, message=message, reason=reason, count=count)


def _yes(_level: int) -> bool:
    return True


def redact_traceback(error: BaseException) -> str:
    """Format *error* with its innermost frames, without secrets, keeping the end where it is long."""
    return redact_end("".join(traceback.format_exception(error, limit=-12)))
