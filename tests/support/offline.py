"""Run Python code as a document or an example promises it: offline.

    python offline.py FILE.py              run a program
    python offline.py --blocks FILE.json   run a document's blocks; put what each printed in the same file

Connections that leave this machine are refused.
"""

import contextlib
import io
import json
import runpy
import sys
import traceback
import types
from pathlib import Path
from typing import cast

LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "", None}


def refuse_the_network(event: str, arguments: tuple[object, ...]) -> None:
    """Raise when a program looks up or connects to another machine."""
    host: object = None
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = cast("tuple[object, ...]", arguments[1])[0]
    name = host.decode() if isinstance(host, bytes) else host
    if name not in LOCAL:
        raise PermissionError(f"documents and examples run offline, this one wanted {name}")


def run_blocks(path: Path) -> None:
    """Run the blocks in *path* and write back what each printed, up to the first that fails."""
    outcomes: list[dict[str, str]] = []
    module = types.ModuleType("__main__")
    for block in json.loads(path.read_text()):
        if not block["continued"]:
            # A real module, so that annotations and pickles of its classes are found.
            module = sys.modules["__main__"] = types.ModuleType("__main__")
        source = "\n" * (block["line"] - 1) + block["text"]
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                exec(compile(source, block["document"], "exec"), module.__dict__)
        except BaseException:  # noqa: BLE001 - whatever ends a block is its outcome, SystemExit too
            outcomes.append({"output": output.getvalue(), "error": traceback.format_exc()})
            break
        outcomes.append({"output": output.getvalue(), "error": ""})
    path.write_text(json.dumps(outcomes))


if __name__ == "__main__":
    sys.addaudithook(refuse_the_network)
    if sys.argv[1] == "--blocks":
        run_blocks(Path(sys.argv[2]))
    else:
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")
