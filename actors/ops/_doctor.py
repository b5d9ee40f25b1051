"""``relight doctor``: say what is installed, and try whether it works."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import cast

import anyio
import msgspec
from anyio.abc import SocketAttribute

from ...runtime import Actor, Request, handles
from ...supervisors import Child, Settings, open_system, run
from .._prices import prices_in_force
from ._metrics import scrape

_LIBRARIES = (
    ("", ("anyio", "trio", "msgspec", "structlog", "prometheus-client")),
    ("http", ("httpx2",)),
    ("web", ("starlette", "hypercorn")),
    ("cli", ("rich",)),
    ("uvloop", ("uvloop",)),
    ("postgres", ("psycopg",)),
)
"""What each extra brings; the first line is always there."""

_OLDEST = (3, 11)
_PRICES = "prices"
_OLDEST_PRICES = 180
"""Days; older prices are pointed out."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the doctor looked at."""

    what: str
    """What it is."""
    ok: bool = True
    """It is there, and works."""
    needed: bool = True
    """relight does not work without it."""
    detail: str
    """Its version, or what to do."""


class _Ping(Request[str], frozen=True):
    text: str


class _Echo(Actor):
    @handles
    async def ping(self, message: _Ping) -> str:
        return message.text


def add_doctor_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``doctor`` to a command line."""
    purpose = "say what is installed and what works"
    parser = subparsers.add_parser("doctor", help=purpose, description=f"{purpose.capitalize()}.")
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def run_doctor(args: argparse.Namespace) -> int:
    """Carry out ``doctor``; the exit status is 1 where something needed does not work."""
    findings = list(examine())
    if cast("bool", args.json):
        sys.stdout.write(json.dumps(msgspec.to_builtins(findings), indent=2) + "\n")
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            sign = _sign(finding)
            sys.stdout.write(f"{sign} {finding.what:<{width}}  {finding.detail}\n")
    return 0 if all(finding.ok for finding in findings if finding.needed) else 1


def _sign(finding: Finding) -> str:
    if finding.ok:
        return "ok     "
    if finding.needed:
        return "MISSING"
    return "OLD    " if finding.what == _PRICES else "absent "


def examine(today: date | None = None) -> Iterator[Finding]:
    """Look at the interpreter, the libraries, the prices and the backends.

    Args:
        today: What the age of the prices is told from; None: today.
    """
    python = platform.python_version()
    yield Finding(what="python", ok=sys.version_info >= _OLDEST, detail=f"{python} (needs 3.11 or newer)")
    for extra, libraries in _LIBRARIES:
        for library in libraries:
            yield _library(library, extra)
    yield _prices(today or datetime.now(UTC).date())
    for backend in ("trio", "asyncio"):
        yield _try(f"actors on {backend}", partial(_round_trip, backend))
    yield _try("a server on 127.0.0.1", lambda: anyio.run(_loopback))


def _library(name: str, extra: str) -> Finding:
    try:
        return Finding(what=name, needed=not extra, detail=version(name))
    except PackageNotFoundError:
        target = f"relight[{extra}]" if extra else "relight"
        detail = f'not installed: pip install "{target}"'
        return Finding(what=name, ok=False, needed=not extra, detail=detail)


def _prices(today: date) -> Finding:
    """Look how old the prices are: budgets and estimates are as good as they."""
    prices = prices_in_force(Settings())
    days = (today - prices.read_on).days if prices.read_on else 0
    detail = f"of {len(prices)} models, from {prices.source}, read on {prices.read_on}"
    if days <= _OLDEST_PRICES:
        return Finding(what=_PRICES, needed=False, detail=detail)
    remedy = "upgrade relight or litellm, or set prices in relight.toml"
    return Finding(what=_PRICES, ok=False, needed=False, detail=f"{detail}, {days} days ago: {remedy}")


def _try(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, detail=check())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return Finding(what=what, ok=False, detail=f"{type(error).__name__}: {error}")


def _round_trip(backend: str) -> str:
    async def main() -> str:
        async with open_system() as system:
            echo = await system.spawn(Child("echo", _Echo))
            reply = await echo.ask(_Ping("asked and answered"), timeout=5.0)
            return reply if "actor_up" in scrape(system) else "no metrics"

    return run(cast("Callable[[], Awaitable[str]]", main), backend=backend, handle_signals=False)


async def _loopback() -> str:
    with anyio.fail_after(5.0):
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
            async with await anyio.connect_tcp("127.0.0.1", port):
                return "listens and connects"
