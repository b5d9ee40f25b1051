"""Where events are logged when the application has not said: to standard error, without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping

import structlog

from ._redaction import redact_event

Logger = structlog.typing.FilteringBoundLogger


def event_logger(level: str = "info") -> Logger:
    """Make the logger of a system's events.

    An application that configured structlog gets them through its own configuration, *level* or
    not; add `redact_event` to its processors. Otherwise they go to standard error, one line each (on a
    terminal a traceback has lines of its own below): standard output belongs to the program.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``: the least that is written.
    """
    if structlog.is_configured():
        configured: Logger = structlog.get_logger("relight").bind()
        return configured
    is_terminal = sys.stderr.isatty()
    logger: Logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            redact_event,
            *([_unfold_traceback] if is_terminal else []),
            structlog.dev.ConsoleRenderer(
                colors=is_terminal, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
    )
    return logger


def _unfold_traceback(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Have a traceback written in lines, without what a terminal would obey."""
    told = event.get("traceback")
    if isinstance(told, str):
        del event["traceback"]
        lines = ("".join(c if c.isprintable() else " " for c in line) for line in told.splitlines())
        event["exception"] = "\n".join(lines)
    return event
