"""Where events are logged when the application has not said: to standard error, without secrets."""

from __future__ import annotations

import logging
import sys

import structlog

from ._redaction import redact_event

Logger = structlog.typing.FilteringBoundLogger


def event_logger(level: str = "info") -> Logger:
    """Make the logger of a system's events.

    An application that configured structlog gets them through its own configuration, *level* or
    not; add `redact_event` to its processors. Otherwise they go to standard error, one line each:
    standard output belongs to the program.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``: the least that is written.
    """
    if structlog.is_configured():
        configured: Logger = structlog.get_logger("relight").bind()
        return configured
    logger: Logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            redact_event,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
    )
    return logger
