"""Run the parts of ``make check`` one after the other, all of them, and say at the end how each went."""

import os
import subprocess
import sys
import time


def run(part: str) -> tuple[int, float]:
    """Make *part* and return its exit status and the seconds it took."""
    print(f"\n=== {part}", flush=True)
    began = time.monotonic()
    made = subprocess.run([os.environ.get("MAKE", "make"), "--no-print-directory", part], check=False)
    return made.returncode, time.monotonic() - began


def main(parts: list[str]) -> int:
    """Run *parts* and return 0 when every one of them passed, else 1."""
    results = {part: run(part) for part in parts}
    print("\n=== summary")
    for part, (status, seconds) in results.items():
        print(f"{part:<16} {'passed' if status == 0 else 'FAILED'} {seconds:7.1f} s")
    return int(any(status for status, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
