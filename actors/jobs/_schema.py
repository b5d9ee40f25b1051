"""The tables of the SQL stores, version by version.

A version's statements are never changed once released; a new version adds statements. ``{...}`` stands
for what the dialects spell differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        """
        CREATE TABLE relight_job (
            id TEXT PRIMARY KEY,
            queue TEXT NOT NULL,
            kind TEXT NOT NULL,
            args {bytes} NOT NULL,
            state TEXT NOT NULL,
            version TEXT NOT NULL,
            priority INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            max_attempts INTEGER NOT NULL,
            runs INTEGER NOT NULL,
            service_retries INTEGER NOT NULL,
            fence INTEGER NOT NULL,
            worker TEXT,
            created_at {real} NOT NULL,
            run_at {real} NOT NULL,
            started_at {real},
            finished_at {real},
            deadline {real},
            unique_key TEXT,
            limit_key TEXT,
            key_limit INTEGER NOT NULL,
            user_key TEXT,
            replay_of TEXT,
            is_cancel_requested INTEGER NOT NULL,
            progress {real},
            result {bytes},
            error TEXT,
            cause TEXT,
            cost_usd {real} NOT NULL,
            budget_usd {real}
        )
        """,
        # Partial: a full index over the states made a claim a hundred times slower at a million jobs.
        "CREATE INDEX relight_job_queued ON relight_job (queue, priority DESC, id) WHERE state = 'queued'",
        "CREATE INDEX relight_job_waiting ON relight_job (queue, run_at) WHERE state = 'waiting'",
        "CREATE INDEX relight_job_running ON relight_job (queue, worker) WHERE state = 'running'",
        "CREATE INDEX relight_job_dead ON relight_job (kind, cause) WHERE state = 'dead'",
        """
        CREATE INDEX relight_job_deadline ON relight_job (deadline)
        WHERE deadline IS NOT NULL AND state IN ('queued', 'waiting')
        """,
        "CREATE INDEX relight_job_ended ON relight_job (finished_at) WHERE finished_at IS NOT NULL",
        """
        CREATE UNIQUE INDEX relight_job_unique ON relight_job (unique_key)
        WHERE unique_key IS NOT NULL AND state IN ('queued', 'waiting', 'running')
        """,
        """
        CREATE TABLE relight_attempt (
            job TEXT NOT NULL,
            number INTEGER NOT NULL,
            at {real} NOT NULL,
            seconds {real} NOT NULL,
            error TEXT NOT NULL,
            error_type TEXT NOT NULL,
            traceback TEXT NOT NULL,
            step TEXT,
            retry_in {real},
            is_spent INTEGER NOT NULL,
            PRIMARY KEY (job, number)
        )
        """,
        """
        CREATE TABLE relight_step (
            job TEXT NOT NULL,
            name TEXT NOT NULL,
            result {bytes} NOT NULL,
            blob TEXT,
            version TEXT NOT NULL,
            seconds {real} NOT NULL,
            cost_usd {real} NOT NULL,
            service_retries INTEGER NOT NULL,
            at {real} NOT NULL,
            PRIMARY KEY (job, name)
        )
        """,
        """
        CREATE TABLE relight_event (
            {event_key},
            job TEXT NOT NULL,
            queue TEXT NOT NULL,
            user_key TEXT,
            kind TEXT NOT NULL,
            at {real} NOT NULL,
            data {bytes} NOT NULL
        )
        """,
        "CREATE INDEX relight_event_job ON relight_event (job)",
        "CREATE INDEX relight_event_at ON relight_event (at)",
        """
        CREATE TABLE relight_worker (
            id TEXT PRIMARY KEY, expires_at {real} NOT NULL, facts {bytes} NOT NULL
        )
        """,
        """
        CREATE TABLE relight_queue (
            name TEXT PRIMARY KEY, is_paused INTEGER NOT NULL, max_running INTEGER
        )
        """,
        """
        CREATE TABLE relight_ledger (
            job TEXT NOT NULL, queue TEXT NOT NULL, user_key TEXT, at {real} NOT NULL, usd {real} NOT NULL
        )
        """,
        "CREATE INDEX relight_ledger_at ON relight_ledger (at)",
    ),
)
"""By version, from 1."""


def statements(version: int, words: Mapping[str, str]) -> list[str]:
    """Return what brings the tables from the version before to *version*, in a dialect's *words*."""
    return [statement.format_map(words) for statement in MIGRATIONS[version - 1]]
