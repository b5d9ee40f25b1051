"""What keeps a store in good order: its tables' version."""

from __future__ import annotations

from ..jobs import SCHEMA_VERSION, SchemaError, Store
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
