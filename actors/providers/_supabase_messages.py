"""What a Supabase database is asked, and what it answers."""

from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

import msgspec

from ...runtime import Request
from ...supervisors import FailureKind, ProviderError
from ._supabase_filters import Filter

T = TypeVar("T")


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Hold rows as they came; `to` reads them."""

    rows: tuple[msgspec.Raw, ...]
    total: int | None = None
    """Rows that fit, without the limit; None: it was not asked for."""
    is_echo: bool = False
    """An earlier attempt of the same call had stored them, and its answer was lost. These are the rows as
    they were sent, without what the database adds."""

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, shape: type[T]) -> list[T]:
        """Read each row as a *shape*: a `msgspec.Struct`, a dataclass, or ``dict[str, object]``.

        Raises:
            ProviderError: INVALID_RESPONSE, not retryable: a row has another shape.
        """
        return [_read(row, shape) for row in self.rows]

    def first(self, shape: type[T]) -> T | None:
        """Read the first row as a *shape*; None: there is none."""
        return _read(self.rows[0], shape) if self.rows else None


class FunctionResult(msgspec.Struct, frozen=True):
    """Hold what a function returned; `to` reads it."""

    value: msgspec.Raw

    def to(self, shape: type[T]) -> T:
        """Read it as a *shape*.

        Raises:
            ProviderError: INVALID_RESPONSE, not retryable: it has another shape.
        """
        return _read(self.value, shape)


class SelectRows(Request[Rows], frozen=True, kw_only=True):
    """Read rows of a table or view."""

    table: str
    where: tuple[Filter, ...] = ()
    """Rows that fit all of these."""
    columns: str = "*"
    """As PostgREST's ``select``: ``id,title`` or ``*,pages(*)``."""
    order: str = ""
    """``number.desc,id``."""
    limit: int | None = None
    offset: int | None = None
    is_counted: bool = False
    """Whether to count all rows that fit: `Rows.total`."""
    query: Mapping[str, str] = {}
    """More parameters, as PostgREST names them: ``{"or": "(a.eq.1,b.eq.2)"}``."""


class InsertRows(Request[Rows], frozen=True, kw_only=True):
    """Store new rows, all or none.

    With a *key* the call may be made again when its answer was lost: a duplicate found then is its
    own. Without one it is not, because it would store the rows twice.
    """

    table: str
    rows: tuple[object, ...]
    """Mappings, Structs or dataclasses, all with the same columns."""
    key: tuple[str, ...] = ()
    """Columns of a primary key that the caller has made (a UUID), not the database."""
    is_returned: bool = True
    """Whether the rows come back, with what the database added."""

    def __post_init__(self) -> None:
        _check_rows("InsertRows", self.rows, self.key)


class UpsertRows(Request[Rows], frozen=True, kw_only=True):
    """Store rows, and change those that are there already. It may be made any number of times."""

    table: str
    rows: tuple[object, ...]
    """Mappings, Structs or dataclasses, all with the same columns, the key among them."""
    key: tuple[str, ...] = ("id",)
    """Columns of a primary key or another unique constraint."""
    is_ignored: bool = False
    """Leave alone what is there already, instead of changing it."""
    is_returned: bool = True

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("UpsertRows.key must name the columns that make a row unique, got ()")
        _check_rows("UpsertRows", self.rows, self.key)


class UpdateRows(Request[Rows], frozen=True, kw_only=True):
    """Change rows."""

    table: str
    values: Mapping[str, object]
    where: tuple[Filter, ...]
    is_repeatable: bool = False
    """Whether it may be made again when it is not known if it was done."""
    is_returned: bool = True

    def __post_init__(self) -> None:
        _check_where("UpdateRows", self.where)


class DeleteRows(Request[Rows], frozen=True, kw_only=True):
    """Delete rows; those deleted come back."""

    table: str
    where: tuple[Filter, ...]
    is_repeatable: bool = False
    """Whether it may be made again when it is not known if it was done. What comes back is then less."""
    is_returned: bool = True

    def __post_init__(self) -> None:
        _check_where("DeleteRows", self.where)


class CallFunction(Request[FunctionResult], frozen=True, kw_only=True):
    """Call a function of the database (``rpc``)."""

    function: str
    arguments: Mapping[str, object] = {}
    is_repeatable: bool = False
    """Whether it may be made again when it is not known if it was done: say so of one that only reads."""


def columns_of(row: object) -> Mapping[str, object]:
    """Return a row as it is sent."""
    return cast("Mapping[str, object]", msgspec.to_builtins(row))


def _read(raw: msgspec.Raw, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.DecodeError as error:
        detail = f"this is no {getattr(shape, '__name__', shape)}: {error}"
        raise ProviderError("supabase", FailureKind.INVALID_RESPONSE, detail, retryable=False) from error


def _check_rows(name: str, rows: Iterable[object], key: Iterable[str]) -> None:
    if not rows:
        raise ValueError(f"{name}.rows must hold a row at least, got ()")
    for row in rows:
        columns = columns_of(row)
        for column in key:
            if columns.get(column) is None:
                raise ValueError(f"{name}.rows must all have the key column {column!r}, got one without")


def _check_where(name: str, where: tuple[Filter, ...]) -> None:
    if not where:
        raise ValueError(f"{name}.where must not be empty: it would mean every row of the table")
