"""Run random scenarios through relight and through OTP's own supervisor, and compare what happened.

    python -m tests.supervisors.otp.differential --scenarios 20000 --seed 1
    python -m tests.supervisors.otp.differential --seed 1 --only 17       one scenario again, in full

A mismatch is made smaller first, then told. Ends with 1 when there is one, and with 0 when there is
none or Erlang is not installed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.supervisors.otp.deviations import DEVIATIONS
from tests.supervisors.otp.generator import make_scenario
from tests.supervisors.otp.otp import HOW_TO_GET, Vm, is_installed
from tests.supervisors.otp.relight_runner import Backend, run_scenarios
from tests.supervisors.otp.scenarios import Scenario
from tests.supervisors.otp.shrinker import shrink
from tests.supervisors.otp.terms import Term, read, write
from tests.supervisors.otp.traces import in_order

BATCH = 250


@dataclass(frozen=True)
class Mismatch:
    """A scenario in which the two disagree."""

    number: int
    scenario: Scenario
    otp: Term
    relight: Term


Runner = Callable[[Sequence[Scenario]], list[Term]]
"""Runs scenarios and returns their traces."""


def compare(scenarios: Sequence[Scenario], otp: Runner, relight: Runner) -> list[Mismatch]:
    """Run scenarios on both sides and return where they disagree."""
    traces = zip(scenarios, otp(scenarios), relight(scenarios), strict=True)
    return [
        Mismatch(number, scenario, theirs, ours)
        for number, (scenario, theirs, ours) in enumerate(traces)
        if theirs != ours
    ]


def shrunk(found: Mismatch, otp: Runner, relight: Runner) -> Mismatch:
    """Make the scenario of a mismatch as small as it gets."""

    def failing(scenarios: Sequence[Scenario]) -> list[bool]:
        numbers = {mismatch.number for mismatch in compare(scenarios, otp, relight)}
        return [number in numbers for number in range(len(scenarios))]

    small = shrink(found.scenario, failing)
    again = compare([small], otp, relight)
    return Mismatch(found.number, small, again[0].otp, again[0].relight) if again else found


def otp_runner(vm: Vm) -> Runner:
    """Run scenarios under OTP."""

    def run(scenarios: Sequence[Scenario]) -> list[Term]:
        return [_trace(text) for text in vm.run(scenarios)]

    return run


def relight_runner(backend: Backend) -> Runner:
    """Run scenarios under relight."""

    def run(scenarios: Sequence[Scenario]) -> list[Term]:
        return [in_order(trace) for trace in run_scenarios(scenarios, backend)]

    return run


def _trace(text: str) -> Term:
    trace = read(text)
    return in_order(trace) if isinstance(trace, list) else trace


def report(found: Mismatch) -> str:
    """Tell a mismatch: the tree, the events, and the first step in which the two disagree."""
    lines = [found.scenario.text(), ""]
    if not (isinstance(found.otp, list) and isinstance(found.relight, list)):
        return "\n".join([*lines, f"OTP     {write(found.otp)}", f"relight {write(found.relight)}"])
    number, theirs, ours = next(
        (number, theirs, ours)
        for number, (theirs, ours) in enumerate(zip(found.otp, found.relight, strict=True))
        if theirs != ours
    )
    assert isinstance(theirs, tuple)
    assert isinstance(ours, tuple)
    events = found.scenario.events
    step = "the start" if not number else events[number - 1].text() if number <= len(events) else "the stop"
    lines.append(f"first differs in step {number}, {step}:")
    for name, their, our in zip(("results", "log", "ended", "at rest"), theirs, ours, strict=True):
        if their == our:
            lines.append(f"  {name:<8} {write(our)}")
        else:
            lines += [f"  {name:<8} OTP     {write(their)}", f"{'':<10} relight {write(our)}"]
    return "\n".join(lines)


def run_range(seed: int, backend: Backend, most: int, numbers: Sequence[int]) -> tuple[int, list[Mismatch]]:
    """Run scenarios by their numbers in one Erlang VM; return how many disagree, and *most* shrunk."""
    relight = relight_runner(backend)
    found: list[Mismatch] = []
    with Vm() as vm:
        otp = otp_runner(vm)
        for begin in range(0, len(numbers), BATCH):
            part = numbers[begin : begin + BATCH]
            for mismatch in compare([make_scenario(seed, number) for number in part], otp, relight):
                real = Mismatch(part[mismatch.number], mismatch.scenario, mismatch.otp, mismatch.relight)
                found.append(shrunk(real, otp, relight) if len(found) < most else real)
    return len(found), found[:most]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says."""
    options = _options(arguments)
    if not is_installed():
        print(f"differential check skipped: there is no Erlang here; {HOW_TO_GET}")
        return 0
    began = time.monotonic()
    numbers = range(options.scenarios) if options.only is None else range(options.only, options.only + 1)
    run = partial(run_range, options.seed, options.backend, options.show)
    shares = [numbers[job :: options.jobs] for job in range(options.jobs)]
    count, shown = 0, list[Mismatch]()
    for more, found in _spread(run, [share for share in shares if share]):
        count += more
        shown += found
    for mismatch in sorted(shown, key=lambda each: each.number)[: options.show]:
        repeat = f"--seed {options.seed} --only {mismatch.number} --backend {options.backend}"
        print(f"--- scenario {mismatch.number}, as small as it gets\n{report(mismatch)}")
        print(f"again: python -m tests.supervisors.otp.differential {repeat}\n")
    print("not compared, as relight deviates on purpose:")
    for what, why in DEVIATIONS.items():
        print(f"  {what}: {why}")
    seconds = time.monotonic() - began
    print(
        f"{len(numbers)} scenarios of seed {options.seed} on {options.backend} against OTP: "
        f"{count} mismatches, {seconds:.0f} s"
    )
    return int(count > 0)


def _spread(
    run: Callable[[Sequence[int]], tuple[int, list[Mismatch]]], shares: Sequence[Sequence[int]]
) -> Iterator[tuple[int, list[Mismatch]]]:
    if len(shares) == 1:
        yield run(shares[0])
        return
    with ProcessPoolExecutor(len(shares)) as pool:
        yield from pool.map(run, shares)


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    scenarios: int
    seed: int
    backend: Backend
    jobs: int
    only: int | None
    show: int


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.supervisors.otp.differential")
    parser.add_argument("--scenarios", type=int, default=500, help="how many to run")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--backend", choices=("trio", "asyncio"), default="trio")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with an Erlang of its own")
    parser.add_argument("--only", type=int, help="run the scenario of this number alone")
    parser.add_argument("--show", type=int, default=5, help="mismatches to make small and to tell")
    return Options(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
