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
            id {text} PRIMARY KEY,
            queue {text} NOT NULL,
            kind {text} NOT NULL,
            args {bytes} NOT NULL,
            state {text} NOT NULL,
            version {text} NOT NULL,
            priority INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            max_attempts INTEGER NOT NULL,
            runs INTEGER NOT NULL,
            service_retries INTEGER NOT NULL,
            fence INTEGER NOT NULL,
            worker {text},
            created_at {real} NOT NULL,
            run_at {real} NOT NULL,
            started_at {real},
            finished_at {real},
            deadline {real},
            unique_key {text},
            limit_key {text},
            key_limit INTEGER NOT NULL,
            user_key {text},
            replay_of {text},
            is_cancel_requested INTEGER NOT NULL,
            progress {real},
            result {bytes},
            error {text},
            cause {text},
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
            job {text} NOT NULL,
            number INTEGER NOT NULL,
            at {real} NOT NULL,
            seconds {real} NOT NULL,
            error {text} NOT NULL,
            error_type {text} NOT NULL,
            traceback {text} NOT NULL,
            step {text},
            retry_in {real},
            is_spent INTEGER NOT NULL,
            PRIMARY KEY (job, number)
        )
        """,
        """
        CREATE TABLE relight_step (
            job {text} NOT NULL,
            name {text} NOT NULL,
            result {bytes} NOT NULL,
            blob {text},
            version {text} NOT NULL,
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
            job {text} NOT NULL,
            queue {text} NOT NULL,
            user_key {text},
            kind {text} NOT NULL,
            at {real} NOT NULL,
            data {bytes} NOT NULL
        )
        """,
        "CREATE INDEX relight_event_job ON relight_event (job)",
        "CREATE INDEX relight_event_at ON relight_event (at)",
        """
        CREATE TABLE relight_worker (
            id {text} PRIMARY KEY, expires_at {real} NOT NULL, facts {bytes} NOT NULL
        )
        """,
        """
        CREATE TABLE relight_queue (
            name {text} PRIMARY KEY, is_paused INTEGER NOT NULL, max_running INTEGER
        )
        """,
        """
        CREATE TABLE relight_ledger (
            job {text} NOT NULL,
            queue {text} NOT NULL,
            user_key {text},
            at {real} NOT NULL,
            usd {real} NOT NULL
        )
        """,
        "CREATE INDEX relight_ledger_at ON relight_ledger (at)",
    ),
    (
        """
        CREATE TABLE relight_message (
            id {text} PRIMARY KEY,
            source {text} NOT NULL,
            kind {text} NOT NULL,
            path {text} NOT NULL,
            cause {text} NOT NULL,
            at {real} NOT NULL,
            process {text} NOT NULL,
            content {bytes} NOT NULL
        )
        """,
        "CREATE INDEX relight_message_at ON relight_message (at, id)",
    ),
    # Few steps have a file, and those are looked up by it.
    ("CREATE INDEX relight_step_blob ON relight_step (blob) WHERE blob IS NOT NULL",),
    # Else a claim counts all that run in the queue for each job that waits behind a key without room.
    (
        """
        CREATE INDEX relight_job_key ON relight_job (queue, limit_key)
        WHERE state = 'running' AND limit_key IS NOT NULL
        """,
    ),
    # From now on a queue is known by its workers: to find those of ended jobs takes reading all jobs.
    (
        "ALTER TABLE relight_worker ADD COLUMN queues {bytes}",
        """
        INSERT INTO relight_queue (name, is_paused) SELECT DISTINCT queue, 0 FROM relight_job WHERE true
        ON CONFLICT DO NOTHING
        """,
    ),
)
"""By version, from 1."""

SCHEMA_VERSION = len(MIGRATIONS)
"""Of the tables that this relight uses."""


def statements(version: int, words: Mapping[str, str]) -> list[str]:
    """Return what brings the tables from the version before to *version*, in a dialect's *words*."""
    return [statement.format_map(words) for statement in MIGRATIONS[version - 1]]
