"""``relight probe``: make one live call with the user's key, and say what came of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Protocol, cast
from urllib.parse import urlsplit

import msgspec

from ...runtime import AskTimeoutError, RefusalError, RelightError, SettingsError
from ...supervisors import Child, ProviderError, Settings, open_system, run
from ...supervisors.policies import Policy, Retry
from .._http import HttpService
from .._http_messages import HttpReply
from .._probe import Probe
from .._service import Service
from ._settings_file import settings_file

_FAILED = 1
_USAGE = 2
_TOLD = ("ratelimit", "retry-after", "concurrent-requests", "character-cost")
"""Headers with one of these in their name are shown."""


class _FromEnv(Protocol):
    """A service that finds its key and its address in the environment."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Service: ...


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """Say what came of a probe."""

    ok: bool
    """It answered as it should."""
    provider: str
    """Who was asked."""
    request: str
    """What was sent: method and path."""
    purpose: str
    """What that does."""
    seconds: float
    """Until the answer, or the failure."""
    usd: float | None
    """What it may have cost at most; None where the price is not known."""
    kind: str | None = None
    """What went wrong: a kind of failure, ``timeout`` where nobody answered in time, or ``refused``."""
    status: int | None = None
    """Of the response, where there was one."""
    code: str | None = None
    """The provider's own code of the error."""
    retry_after: float | None = None
    """Seconds after which to try again, where it said so."""
    error: str | None = None
    """The failure in words."""
    headers: Mapping[str, str] = {}
    """What the response says about limits."""


def add_probe_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``probe`` to a command line."""
    purpose = "make one live call with your key, and say what came of it"
    parser = subparsers.add_parser("probe", help=purpose, description=f"{purpose.capitalize()}.")
    parser.add_argument(
        "name", metavar="NAME", help="a provider (openai, anthropic, ...), or any http(s) URL"
    )
    parser.add_argument("--model", metavar="M", help="have this model answer with one token")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds (default: 30)")
    parser.add_argument("--file", type=Path, metavar="F", help="settings, for the prices; see config --help")
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def run_probe(
    args: argparse.Namespace,
    *,
    services: Iterable[type[Service]],
    environ: Mapping[str, str] | None = None,
) -> int:
    """Carry out ``probe``: 0 where the service answered, 1 where it did not, 2 where nothing was sent.

    Args:
        args: As parsed by the parser of `add_probe_parser`.
        services: The known services; each is found by its name, and finds its key in the environment.
        environ: Environment variables; None: those of this process.
    """
    variables = os.environ if environ is None else environ
    as_json = cast("bool", args.json)
    try:
        settings = Settings.load(file=settings_file(args), environ=variables).settings
        service = _service(cast("str", args.name), services, variables)
        service.configured(settings)
        plan = _plan(service, cast("str", args.name), cast("str | None", args.model))
        main = partial(_probe, service, plan, cast("float", args.timeout))
        result = run(main)
    except RelightError as error:
        if as_json:
            _print_json({"ok": False, "provider": args.name, "sent": False, "error": str(error)})
        else:
            sys.stderr.write(f"relight: {error}\n")
        return _USAGE
    if as_json:
        _print_json(msgspec.to_builtins(result))
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(result)))
    return 0 if result.ok else _FAILED


def _service(name: str, services: Iterable[type[Service]], environ: Mapping[str, str]) -> Service:
    parts = urlsplit(name)
    if parts.scheme in ("http", "https") and parts.netloc:
        return HttpService(f"{parts.scheme}://{parts.netloc}")
    known = {service.provider: service for service in services}
    found = known.get(name.lower())
    if found is None:
        raise SettingsError(name, f"is no provider (there are {', '.join(sorted(known))}) and no http(s) URL")
    if not hasattr(found, "from_env"):
        raise SettingsError(name, "can't be probed: it does not find its key in the environment")
    return cast("_FromEnv", found).from_env(environ)


def _plan(service: Service, name: str, model: str | None) -> Probe:
    plan = service.probe(model)
    if plan is None:
        raise SettingsError(name, "can't be probed: nothing cheap can be asked of it")
    parts = urlsplit(name)
    if parts.scheme in ("http", "https"):
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return msgspec.structs.replace(plan, request=msgspec.structs.replace(plan.request, path=path))
    return plan


async def _probe(service: Service, plan: Probe, timeout: float) -> ProbeResult:
    """Make one attempt through the service's own actor and guard."""
    policy = Policy(retry=Retry(attempts=1), breaker=None, attempt_timeout=timeout)
    name = service.provider or "http"
    async with open_system(settings=Settings(log_level="error")) as system:
        ref = await system.spawn(Child(name, lambda: service, policy=policy))
        began = perf_counter()
        outcome: object
        try:
            outcome = await ref.ask(plan.request, timeout=timeout + 1.0)
        except (ProviderError, RefusalError, AskTimeoutError) as error:
            outcome = error
        return _result(name, plan, outcome, perf_counter() - began)


def _result(name: str, plan: Probe, outcome: object, seconds: float) -> ProbeResult:
    path = plan.request.path.partition("?")[0]  # a query may hold a key
    basis = ProbeResult(
        ok=isinstance(outcome, HttpReply),
        provider=name,
        request=f"{plan.request.method} {path}",
        purpose=plan.purpose,
        seconds=round(seconds, 3),
        usd=plan.usd,
    )
    if isinstance(outcome, HttpReply):
        told = {name: text for name, text in outcome.headers.items() if any(part in name for part in _TOLD)}
        return msgspec.structs.replace(basis, status=outcome.status, headers=told)
    if isinstance(outcome, ProviderError):
        return msgspec.structs.replace(
            basis,
            kind=str(outcome.kind),
            status=outcome.status,
            code=outcome.code,
            retry_after=outcome.retry_after,
            error=str(outcome),
        )
    kind = "timeout" if isinstance(outcome, AskTimeoutError) else "refused"
    return msgspec.structs.replace(basis, kind=kind, error=str(outcome))


def _lines(result: ProbeResult) -> list[str]:
    status = "" if result.status is None else f"HTTP {result.status}, "
    said = "ok" if result.ok else f"failed ({result.kind})"
    cost = "unknown: no price for it" if result.usd is None else f"at most ${result.usd:.6f}, estimated"
    lines = [
        f"{result.provider}: {said}, {status}{result.seconds:.3f} s",
        f"sent: {result.request} ({result.purpose})",
        f"cost: {cost}",
    ]
    if result.error is not None:
        lines.append(f"error: {result.error}")
    if result.retry_after is not None:
        lines.append(f"try again after: {result.retry_after:g} s")
    return [*lines, *(f"{name}: {text}" for name, text in sorted(result.headers.items()))]


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
