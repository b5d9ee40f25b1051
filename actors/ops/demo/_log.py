"""The run's log: every event as a line of JSON, in the run's folder."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import structlog

from ....runtime import redact_event

LOG_NAME = "log.jsonl"
"""In the folder of a run. On the terminal, log lines would tear up the live table."""

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


@contextmanager
def log_to(folder: Path, level: str) -> Generator[None]:
    """Write events of *level* and above to *folder* until the block ends."""
    with (folder / LOG_NAME).open("a", encoding="utf-8", buffering=1) as file:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
                redact_event,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            logger_factory=structlog.WriteLoggerFactory(file),
        )
        try:
            yield
        finally:
            structlog.reset_defaults()
