"""The command that serves fakes: read the options, print the addresses, serve.

Started by ``open_fakes`` with ``--until-eof``, it ends when its standard input does: the kernel
closes that pipe with the parent, however the parent ends, ``kill -9`` included.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence

import msgspec

from .._errors import MissingExtraError
from ._addresses import Address
from ._extras import require_web
from ._names import PROVIDERS
from ._options import FakeSpec
from ._outages import Outage
from ._plan import FaultPlan


def run_fakes(arguments: Sequence[str]) -> int:
    """Carry out the command ``fakes`` with its *arguments*: serve until told to stop; return the exit code.

    Prints one line of JSON, ``{"openai": {"url": ..., "key": ...}}``, when all are ready.
    """
    options = _parser().parse_args(arguments)
    try:
        specs = _specs(options)
        require_web()
        return _serve(specs, until_eof=options.until_eof)
    except (ValueError, MissingExtraError, OSError) as error:
        print(f"relight fakes: error: {error}", file=sys.stderr)
        return 2


def _serve(specs: Sequence[FakeSpec], *, until_eof: bool) -> int:
    import trio  # slow to import, so not before the options are known to be good

    from ._server import serve  # needs the extra

    async def wait_end() -> None:
        if until_eof:
            await trio.to_thread.run_sync(_wait_eof, abandon_on_cancel=True)
        else:
            await trio.sleep_forever()

    def ready(urls: Mapping[str, str]) -> None:
        keys = {spec.provider: spec.key for spec in specs}
        addresses = {provider: Address(url, keys[provider]) for provider, url in urls.items()}
        print(msgspec.json.encode(addresses).decode(), flush=True)

    if until_eof:
        # Ctrl-C reaches the whole group of processes; the parent still needs us to end in order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        trio.run(serve, specs, ready, wait_end)
    except KeyboardInterrupt:
        return 130
    return 0


def _wait_eof() -> None:
    # Not sys.stdin: its lock, held by this thread, would be fatal to an interpreter that ends first.
    while os.read(0, 4096):
        pass


def _specs(options: argparse.Namespace) -> list[FakeSpec]:
    if options.spec is not None:
        return msgspec.json.decode(options.spec, type=list[FakeSpec])
    outages = [_outage(text) for text in options.outage]
    plan = FaultPlan(rate=options.rate, seed=options.seed)
    return [
        FakeSpec(
            provider=provider,
            port=options.port + index if options.port else 0,
            plan=plan,
            outages=tuple(outage for outage in outages if outage.provider == provider),
        )
        for index, provider in enumerate(dict.fromkeys(options.provider or PROVIDERS))
    ]


def _outage(text: str) -> Outage:
    try:
        provider, after, seconds = text.split(":")
        return Outage(provider, after_seconds=float(after), seconds=float(seconds))
    except ValueError as error:
        raise ValueError(f"--outage must be PROVIDER:AFTER:SECONDS, got {text!r}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relight fakes",
        description=f"Serve fakes on 127.0.0.1: {', '.join(PROVIDERS)}.",
    )
    parser.add_argument("--provider", action="append", metavar="NAME", help="one to serve (default: all)")
    parser.add_argument("--rate", type=float, default=0.0, help="share of the requests that fail, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="seed of the faults")
    parser.add_argument(
        "--port", type=int, default=0, help="the first's; the next follow (default: free ones)"
    )
    parser.add_argument(
        "--outage", action="append", default=[], metavar="PROVIDER:AFTER:SECONDS", help="a scripted outage"
    )
    parser.add_argument("--spec", help=argparse.SUPPRESS)
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    return parser
