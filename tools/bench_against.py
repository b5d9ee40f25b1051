"""Bench this checkout against another one, in turns: base, new, base, new.

    python tools/bench_against.py BASE [--rounds N] [--out FOLDER] [--quick] [NAME ...]

BASE is a checkout of the older revision with an environment of its own:

    git worktree add ../base v0.1.0 && make -C ../base .venv/.ready

Writes base.json and new.json into FOLDER, in the format of `make bench`; for each figure the round with
the least ratio, or the least value where there is no floor, as noise only ever adds. Then prints both
side by side, as a table in Markdown.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from relight.bench.compare import read, table
from relight.bench.harness import Figure

NAMES = ("tell", "ask", "fan", "ping_pong", "spawn", "restart", "guarded", "neighbour")
"""What both revisions can be asked; give others by name."""


def main() -> None:
    """Bench both, and print the comparison."""
    args = arguments()
    folders = {"base": args.base.resolve(), "new": Path(__file__).resolve().parents[1]}
    runs: dict[str, list[list[Figure]]] = {side: [] for side in folders}
    args.out.mkdir(parents=True, exist_ok=True)
    for number in range(1, args.rounds + 1):
        for side, folder in folders.items():
            file = (args.out / f"{side}-{number}.json").resolve()
            bench(folder, args.names or NAMES, file, is_quick=args.quick)
            runs[side].append(read(file))
    best = {side: best_of(side_runs) for side, side_runs in runs.items()}
    for side, figures in best.items():
        (args.out / f"{side}.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    sys.stdout.write("\n".join(table(best["base"], best["new"])) + "\n")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Bench this checkout against another one, in turns.")
    parser.add_argument("base", type=Path, help="a checkout with a .venv of its own")
    parser.add_argument("names", nargs="*", help=f"questions; otherwise {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side (2)")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where the runs are saved")
    parser.add_argument("--quick", action="store_true", help="a rough look")
    return parser.parse_args()


def bench(folder: Path, names: Sequence[str], file: Path, *, is_quick: bool) -> None:
    """Run the bench of one checkout."""
    command = [str(folder / ".venv/bin/python"), "-m", "relight", "bench", *names, "--json", str(file)]
    subprocess.run([*command, "--quick"] if is_quick else command, cwd=folder, stdout=sys.stderr, check=True)


def best_of(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Choose each figure's best round, in the order they were measured."""
    best: dict[tuple[str, str], Figure] = {}
    for figures in runs:
        for figure in figures:
            key = (figure.name, figure.backend)
            if key not in best or measure(figure) < measure(best[key]):
                best[key] = figure
    return list(best.values())


def measure(figure: Figure) -> float:
    """Return what is compared: the ratio, where there is one."""
    return figure.value if figure.ratio is None else figure.ratio


if __name__ == "__main__":
    main()
