"""Supabase's errors: PostgREST's and the database's by their code, Storage's by what its bodies say."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from ...supervisors import FailureKind, ProviderError
from .._classification import ErrorRule, ErrorTable

NOT_CARRIED_OUT = frozenset({"PGRST000", "PGRST001", "PGRST002"})
"""PostgREST has no connection to the database: whatever was asked, it was not done."""

_NOT_DONE = NOT_CARRIED_OUT | {"PGRST003"}

DUPLICATE = "23505"
"""The database's word for a row whose key is taken."""

_SQL_STATE = "[0-9A-Z]{5}"


SUPABASE_ERRORS = ErrorTable(
    [
        # No connection to the database; the server says when it tries again.
        ErrorRule(kind=FailureKind.OVERLOADED, names=NOT_CARRIED_OUT),
        # No connection came free in time.
        ErrorRule(kind=FailureKind.OVERLOADED, names=frozenset({"PGRST003"})),
        ErrorRule(kind=FailureKind.AUTH, names=frozenset({"PGRST300", "PGRST301", "PGRST302", "PGRST303"})),
        # Before the statuses: one row that its policy protects is no reason to block the provider.
        ErrorRule(kind=FailureKind.BAD_REQUEST, names=frozenset({"42501"})),
        ErrorRule(kind=FailureKind.NOT_FOUND, names=frozenset({"PGRST202", "PGRST205", "42P01", "42883"})),
        # The transaction met another one and was undone. The database is well, so no breaker counts it.
        ErrorRule(kind=FailureKind.BAD_REQUEST, names=frozenset({"40001", "40P01"}), retryable=True),
        # Lost its connections, or has no room for more.
        ErrorRule(kind=FailureKind.OVERLOADED, pattern="(08...|53...|57P..)"),
        # Any other word of the database is about the statement, a timeout of it included.
        ErrorRule(kind=FailureKind.BAD_REQUEST, pattern=_SQL_STATE),
        ErrorRule(kind=FailureKind.SERVER, statuses={500}, retryable=False),
    ]
)
"""By PostgREST's code or the database's SQLSTATE; the gateway's errors have none, and go by status."""


def may_be_done(error: ProviderError) -> bool:
    """Tell whether a write that failed with *error* may have been carried out all the same.

    The write was sent as a request that is not idempotent, so the transport has marked it as not
    retryable if it may have reached the server.
    """
    if error.status is None:
        return error.retryable is False or error.kind is FailureKind.INVALID_RESPONSE
    if error.status < 500:
        return error.status < 400
    # The database's own word means that the transaction was undone; a gateway's means nothing.
    return error.code not in _NOT_DONE and not re.fullmatch(_SQL_STATE, error.code or "")


class StorageErrorTable(ErrorTable):
    """Classify by the status in the body: HTTP's own is 400 for much that is none."""

    def classify(
        self,
        provider: str,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        now: datetime,
        hide: Callable[[str], str] = str,
    ) -> ProviderError:
        """Return what a response means as an error; see `ErrorTable.classify`."""
        told = _status_inside(body)
        return super().classify(provider, told or status, headers, body, now=now, hide=hide)


STORAGE_ERRORS = StorageErrorTable(
    [
        ErrorRule(kind=FailureKind.TIMEOUT, names=frozenset({"DatabaseTimeout"})),
        ErrorRule(kind=FailureKind.OVERLOADED, names=frozenset({"DatabaseConnectionLimit", "LockTimeout"})),
        ErrorRule(kind=FailureKind.RATE_LIMIT, names=frozenset({"SlowDown"})),
        ErrorRule(kind=FailureKind.SERVER, names=frozenset({"InternalError", "S3Error"})),
        ErrorRule(
            kind=FailureKind.NOT_FOUND,
            names=frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "TenantNotFound"}),
        ),
        ErrorRule(kind=FailureKind.AUTH, names=frozenset({"InvalidJWT", "InvalidApiKey"})),
        ErrorRule(kind=FailureKind.AUTH, statuses={400, 401, 403}, texts=("jwt expired", "compact jws")),
        ErrorRule(
            kind=FailureKind.BAD_REQUEST,
            names=frozenset(
                {
                    "ResourceAlreadyExists",
                    "KeyAlreadyExists",
                    "BucketAlreadyExists",
                    "AccessDenied",
                    "EntityTooLarge",
                    "InvalidMimeType",
                    "InvalidKey",
                    "InvalidRequest",
                }
            ),
        ),
    ]
)
"""By code; older servers send none, and there the status in the body decides."""


class _Told(msgspec.Struct):
    statusCode: str | int = ""  # noqa: N815 - the server's spelling


def _status_inside(body: bytes) -> int | None:
    try:
        told = str(msgspec.json.decode(body, type=_Told).statusCode)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return int(told) if told.isdecimal() and 400 <= int(told) < 600 else None
