"""Which job the next attempt of a call is to begin again."""

from collections import OrderedDict

from ...runtime import RelightError
from ...supervisors import current_attempt

_MOST = 1024


class Repeats:
    """Remember, from one attempt of a call to its next, the job that failed."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, str] = OrderedDict()

    def keep(self, job_id: str) -> None:
        """Leave a failed job to the next attempt. Of a call that has none it is forgotten in time."""
        call = _call()
        if call is not None:
            self._jobs[call] = job_id
            if len(self._jobs) > _MOST:
                self._jobs.popitem(last=False)

    def take(self) -> str | None:
        """Return what an earlier attempt of the call has left, once."""
        call = _call() if self._jobs else None
        return None if call is None else self._jobs.pop(call, None)


def _call() -> str | None:
    """Return what all attempts of the call in hand have in common; None: no guard has made it."""
    try:
        return current_attempt().idempotency_key
    except RelightError:
        return None
