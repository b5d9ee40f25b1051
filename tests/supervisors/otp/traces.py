"""Traces: what of them has no order."""

from __future__ import annotations

import re

from tests.supervisors.otp.terms import Term


def in_order(trace: Term) -> Term:
    """Sort what has no order in a trace: the stops of a dynamic supervisor's children, which are parallel."""
    assert isinstance(trace, list)
    return [_step_in_order(step) for step in trace]


_DYNAMIC = re.compile(r"(d\d*)_\d+")


def _step_in_order(step: Term) -> Term:
    assert isinstance(step, tuple)
    results, log, ends, snapshot = step
    assert isinstance(log, list)
    ordered: list[Term] = []
    run: list[Term] = []
    for line in log:
        if run and _group(line) != _group(run[0]):
            ordered += sorted(run, key=repr)
            run = []
        (run if _group(line) else ordered).append(line)
    return (results, [*ordered, *sorted(run, key=repr)], ends, snapshot)


def _group(line: Term) -> str:
    """Name the dynamic supervisor that stops its children with this line; else nothing."""
    if not (isinstance(line, tuple) and line[0] == "stop" and line[2] == "shutdown"):
        return ""
    found = _DYNAMIC.fullmatch(str(line[1]))
    return found.group(1) if found else ""
