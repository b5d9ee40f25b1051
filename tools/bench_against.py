"""Bench this checkout against another one, in turns: base, new, base, new.

    python tools/bench_against.py BASE [--rounds N] [--out FOLDER] [--quick] [NAME ...]

BASE is a checkout of the older revision with an environment of its own:

    git worktree add ../base v0.1.0 && make -C ../base .venv/.ready

Writes base.json and new.json into FOLDER, in the format of `make bench`; for each figure the round with
the least ratio, as noise only ever adds. Questions that BASE does not know are asked of this checkout
alone, once. Then prints what both have side by side, as a table in Markdown.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from relight.bench.compare import best_of, read, table
from relight.bench.harness import Figure

_KNOWN = "from relight.bench._questions import QUESTIONS; print(*QUESTIONS)"


def main() -> None:
    """Bench both, and print the comparison."""
    args = arguments()
    base, new = args.base.resolve(), Path(__file__).resolve().parents[1]
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    names = args.names or questions(new)
    shared = [name for name in names if name in questions(base)]
    before: list[list[Figure]] = []
    after: list[list[Figure]] = []
    for number in range(1, args.rounds + 1):
        before.append(bench(base, shared, out / f"base-{number}.json", is_quick=args.quick))
        after.append(bench(new, shared, out / f"new-{number}.json", is_quick=args.quick))
    if len(shared) < len(names):
        added = [name for name in names if name not in shared]
        after.append(bench(new, added, out / "added.json", is_quick=args.quick))
    save(best_of(before), out / "base.json")
    save(best_of(after), out / "new.json")
    sys.stdout.write("\n".join(table(best_of(before), best_of(after))) + "\n")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Bench this checkout against another one, in turns.")
    parser.add_argument("base", type=Path, help="a checkout with a .venv of its own")
    parser.add_argument("names", nargs="*", help="questions; otherwise all there are")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side (2)")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where the runs are saved")
    parser.add_argument("--quick", action="store_true", help="a rough look")
    return parser.parse_args()


def questions(folder: Path) -> list[str]:
    """List what the bench of a checkout can be asked."""
    done = subprocess.run(
        [python(folder), "-c", _KNOWN], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def bench(folder: Path, names: Sequence[str], file: Path, *, is_quick: bool) -> list[Figure]:
    """Run the bench of one checkout; what it prints goes to standard error."""
    command = [python(folder), "-m", "relight", "bench", *names, "--json", str(file)]
    subprocess.run([*command, "--quick"] if is_quick else command, cwd=folder, stdout=sys.stderr, check=True)
    return read(file)


def python(folder: Path) -> str:
    """Return the interpreter of a checkout."""
    return str(folder / ".venv/bin/python")


def save(figures: Sequence[Figure], file: Path) -> None:
    """Write figures as `make bench` does."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")


if __name__ == "__main__":
    main()
