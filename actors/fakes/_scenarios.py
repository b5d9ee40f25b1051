"""Scenarios: a request's own header says what it meets, so that tests can share one fake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from ._plan import FaultKind
from ._steps import Step

HEADER = "x-scenario"


class Scenarios:
    """Read ``x-scenario: overloaded,overloaded,ok``.

    The n-th request with the same value meets the n-th name, those after the last meet the last. A
    name is that of a fault or of an error, or ``ok``. What stands before a colon only tells one
    scenario from another: ``my-test:quota``.
    """

    def __init__(self, errors: Collection[str]) -> None:
        self._errors = errors
        self._seen: Counter[str] = Counter()

    def take(self, headers: Mapping[str, str]) -> Step | None:
        """Return the step of a request with *headers*; None: it has no scenario."""
        value = headers.get(HEADER)
        if value is None:
            return None
        names = [name.strip() for name in value.rpartition(":")[2].split(",")]
        name = names[min(self._seen[value], len(names) - 1)]
        self._seen[value] += 1
        return self._step(name)

    def _step(self, name: str) -> Step:
        if name == "ok":
            return Step()
        if name in set(FaultKind):
            return Step(fault=FaultKind(name))
        if name in self._errors:
            return Step(error=name)
        text = f"{HEADER}: there is no fault and no error {name!r}"
        return Step(status=400, body=msgspec.json.encode({"error": text}).decode())
