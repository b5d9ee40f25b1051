"""New jobs from old ones: the same arguments from scratch, or others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import cast

import msgspec

from ...runtime import MASK
from ._errors import JobArgumentsError
from ._function import AnyJobFunction
from ._ids import id_of_moment
from ._records import Job, NewJob

Arguments = Sequence[object] | bytes | Callable[[list[object]], Sequence[object]]
"""New arguments of a job: as values, as JSON, or made from the old ones (as plain JSON values)."""


def replay_of(job: Job, function: AnyJobFunction | None, args: bytes | None = None) -> NewJob:
    """Return a job that does *job* again from scratch.

    Its id follows from the end of *job*, so that it is stored once, however often this is tried.

    Args:
        job: An ended one.
        function: Its job function where it is known.
        args: Other arguments.

    Raises:
        JobArgumentsError: They don't fit the function.
    """
    changed = args is not None and args != job.args
    given = job.args if args is None else args
    death = (job.id, str(job.fence), sha256(given).hexdigest())
    new = NewJob(
        id=id_of_moment(job.finished_at or job.created_at, "replay", *death),
        queue=job.queue,
        kind=job.kind,
        args=given,
        version=job.version if function is None else function.options.version,
        priority=job.priority,
        max_attempts=job.max_attempts,
        timeout=None if job.deadline is None else max(1.0, job.deadline - job.created_at),
        unique_key=job.unique_key,
        limit_key=job.limit_key,
        limit=job.limit,
        user=job.user,
        replay_of=job.id,
        budget_usd=job.budget_usd,
    )
    if function is None:
        return new
    values = function.signature.decode(given)
    return _with_keys_of(new, function, values) if changed else new


def _with_keys_of(new: NewJob, function: AnyJobFunction, values: tuple[object, ...]) -> NewJob:
    """Have the keys follow the arguments."""
    options = function.options
    if options.unique is not None:
        unique = options.unique(*values)
        new = msgspec.structs.replace(
            new, unique_key=None if unique is None else f"{new.queue}/{new.kind}/{unique}"
        )
    if options.limit_key is not None:
        new = msgspec.structs.replace(new, limit_key=options.limit_key(*values))
    if options.user is not None and new.user is None:
        new = msgspec.structs.replace(new, user=options.user(*values))
    return new


def new_arguments(job: Job, arguments: Arguments) -> bytes:
    """Return new arguments of *job* as JSON.

    Raises:
        JobArgumentsError: They are no JSON, or of another shape, or hold the mask of a hidden secret.
    """
    try:
        old: object = msgspec.json.decode(job.args)
        if callable(arguments):
            arguments = arguments(cast("list[object]", old))
        data = arguments if isinstance(arguments, bytes) else msgspec.json.encode(tuple(arguments))
        value: object = msgspec.json.decode(data)
    except (TypeError, ValueError) as error:
        raise JobArgumentsError(job.kind, f"they are no JSON list of values ({error})") from error
    if isinstance(old, list) and not isinstance(value, list):
        raise JobArgumentsError(job.kind, "give them as a JSON list, one item an argument")
    if MASK.encode() in data and MASK.encode() not in job.args:
        raise JobArgumentsError(job.kind, f"{MASK!r} stands for what was hidden from you: give the value")
    return data
