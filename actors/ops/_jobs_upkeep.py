"""What keeps a store in good order: its tables' version, and what it forgets."""

from __future__ import annotations

import argparse
import time
from typing import cast

import msgspec

from ...runtime import SettingsError
from ..jobs import SCHEMA_VERSION, Prunable, Queue, Retention, SchemaError, Store, prune_store
from ._tables import Printer


async def migrate(store: Store, printer: Printer) -> int:
    """Bring a store's tables to this version, or make them, and say what was done; returns 0.

    Raises:
        SchemaError: They are of a newer version.
        StoreError: The store can't be used.
    """
    found = await _version(store)
    if found != SCHEMA_VERSION:
        async with store.opened():
            pass
    printer.migrated(found, SCHEMA_VERSION)
    return 0


async def _version(store: Store) -> int:
    try:
        async with store.opened(migrate=False):
            return SCHEMA_VERSION
    except SchemaError as error:
        return error.found


async def prune(args: argparse.Namespace, store: Store, printer: Printer, app: Queue | None) -> int:
    """Delete what is old, as a worker with a retention does, and say how much; returns 0.

    Args:
        args: As parsed.
        store: Open.
        printer: Says it.
        app: The user's queue, which knows where large results are.

    Raises:
        SettingsError: Nothing is named.
        StoreError: The store can't be used.
        BlobError: The folder of large results can't be read or changed.
    """
    jobs = cast("float | None", args.older_than)
    ledger = cast("float | None", args.ledger_older_than)
    retention = Retention(jobs=jobs, ledger=ledger)
    if retention.is_for_ever:
        raise SettingsError("jobs prune", "names nothing: give --older-than, --ledger-older-than or both")
    now = time.time()
    found = await _prunable(store, retention, now)
    if args.dry_run:
        printer.pruned(found, None)
        return 0
    await prune_store(store, retention, now=now)
    files = await _sweep(store, app) if jobs is not None else 0
    left = await _prunable(store, retention, now)
    printer.pruned(_less(found, left), files)
    return 0


async def _prunable(store: Store, retention: Retention, now: float) -> Prunable:
    jobs, ledger = retention.jobs, retention.ledger
    return await store.prunable(
        ended_before=0.0 if jobs is None else now - jobs,
        ledger_before=0.0 if ledger is None else now - ledger,
    )


async def _sweep(store: Store, app: Queue | None) -> int:
    """Remove the files of results that nobody refers to any more, where we know where they are."""
    await store.reap()  # see `LargeResults.sweep`
    return await (app or Queue(store)).large_results.sweep(store)


def _less(found: Prunable, left: Prunable) -> Prunable:
    """Return what was there and is no more; a worker may have helped."""
    after = msgspec.structs.asdict(left)
    before = msgspec.structs.asdict(found)
    return Prunable(**{name: max(0, count - after[name]) for name, count in before.items()})
