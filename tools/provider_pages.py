"""Write the tables of docs/providers/ anew, from the policies and the error tables of the providers.

    python tools/provider_pages.py [--check] [--docs FOLDER]

The tables of a page stand between ``<!-- tables -->`` and ``<!-- end -->``; the prose around them is
written by hand. A provider without a page gets one that holds the tables alone. With ``--check`` nothing
is written; ends with status 1, naming the pages, where one is missing or is not what the code says.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Container, Iterator
from pathlib import Path

from relight import FailureKind, Settings
from relight.actors import ErrorRule, ErrorTable, HttpService, Service
from relight.actors.providers import PROVIDERS
from relight.supervisors.policies import Backoff, Breaker, Decorrelated, Exponential, Fixed

DOCS = Path(__file__).resolve().parents[1] / "docs/providers"
COMMAND = "python tools/provider_pages.py"
PLACE = re.compile(r"(<!-- tables -->\n).*?(<!-- end -->)", re.DOTALL)
SHARED = ErrorTable().rules
COLUMNS = (
    "provider",
    "attempts",
    "wait",
    "after a rate limit without a hint",
    "longest wait",
    "in flight",
    "an attempt",
    "breaker opens after",
)

WHY = {
    FailureKind.RATE_LIMIT: "The limit clears by itself. Nobody calls the provider until it has.",
    FailureKind.OVERLOADED: "Capacity comes back; jitter keeps the callers from coming back at once.",
    FailureKind.SERVER: "It broke in the middle of this request; most such errors are gone soon.",
    FailureKind.TIMEOUT: "Slow just now, perhaps. Not where it may be done and must not be twice.",
    FailureKind.NETWORK: "The connection was lost, not the service. The same reservation as for a timeout.",
    FailureKind.STREAM_BROKEN: "As the network; only before the first part was delivered.",
    FailureKind.INVALID_RESPONSE: "Mostly a proxy on the way that answered in the service's place.",
    FailureKind.QUOTA: "Waiting brings no money: every following call would fail the same way. Sent once.",
    FailureKind.AUTH: "The key does not become right by being sent again. Sent once.",
    FailureKind.BAD_REQUEST: "The same request would be wrong again.",
    FailureKind.CONTEXT_LENGTH: "The request does not become shorter.",
    FailureKind.CONTENT_POLICY: "The answer would be no again, and asking may be held against you.",
    FailureKind.NOT_FOUND: "What is not there will not be there in a second.",
    FailureKind.REFUSED: "Another service that the handler asked refused; its own guard has decided already.",
    FailureKind.BUG: "An exception nobody expected: the actor is restarted, the message is not redelivered.",
}


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description="Write the tables of docs/providers/ anew.")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--docs", type=Path, default=DOCS)
    args = parser.parse_args()
    pages = {service.provider: "\n".join(tables(service)) for service in PROVIDERS}
    pages["http"] = "\n".join(tables(HttpService))
    pages["README"] = "\n".join(overview())
    stale = [name for name, text in pages.items() if not is_right(args.docs / f"{name}.md", name, text, args)]
    for name in stale if args.check else ():
        sys.stdout.write(f"docs/providers/{name}.md is missing or old; run: {COMMAND}\n")
    return int(args.check and bool(stale))


def is_right(page: Path, name: str, text: str, args: argparse.Namespace) -> bool:
    """Tell whether *page* holds the tables; write them unless it is only to be checked."""
    old = page.read_text() if page.exists() else ""
    new = old or f"# {name}\n\n<!-- tables -->\n<!-- end -->\n"
    new = PLACE.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", new)
    if not args.check:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(new)
    return old == new and text in new


def overview() -> Iterator[str]:
    """Compare the providers in a table."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for name, service in [*((each.provider, each) for each in PROVIDERS), ("http", HttpService)]:
        policy = service.policy
        limited = policy.retry.backoff_by_kind.get(FailureKind.RATE_LIMIT, policy.retry.backoff)
        cells = (
            f"[{name}]({name}.md)",
            str(policy.retry.attempts),
            in_words(policy.retry.backoff),
            in_words(limited),
            f"{policy.retry.max_wait:g} s",
            str(policy.concurrency.limit),
            f"{policy.attempt_timeout:g} s",
            "never" if policy.breaker is None else opening(policy.breaker),
        )
        yield f"| {' | '.join(cells)} |"


def tables(service: type[Service]) -> Iterator[str]:
    """Yield the lines of a provider's tables."""
    yield "### Which failures are retried"
    yield ""
    yield "| kind | retried | attempts | wait without a hint | breaker | why |"
    yield "|---|---|---|---|---|---|"
    yield from (kind_row(service, kind) for kind in FailureKind)
    own = {name: table for name, table in error_tables(service) if table.rules != SHARED}
    for name, table in own.items():
        title = "How answers are told apart" if len(own) == 1 else f"How answers are told apart: {name}"
        yield from ("", f"### {title}", "", *rule_table(table.rules[: -len(SHARED)]))
        yield from ("", "The first row that fits decides; then [the rows all providers share](http.md).")
    if not own:
        yield from ("", "### How answers are told apart", "", *rule_table(SHARED))
    yield from ("", "### Numbers", "", "Each is a [setting](../settings.md).", "")
    yield from number_table(service)


def kind_row(service: type[Service], kind: FailureKind) -> str:
    """Say what becomes of one kind of failure."""
    policy, retry = service.policy, service.policy.retry
    rules = [rule for _, table in error_tables(service) for rule in table.rules]
    is_retried = kind in retry.kinds
    is_allowed = not is_retried and any(rule.kind is kind and rule.retryable for rule in rules)
    attempts = retry.attempts_by_kind.get(kind, retry.attempts) if is_retried or is_allowed else 1
    breaker = "counts" if kind.counts_for_breaker and policy.breaker is not None else "-"
    if kind.blocks_provider:
        breaker = f"blocked at once, a trial call every {policy.blocked_probe:g} s"
    cells = (
        kind,
        "where a row below says so" if is_allowed else "yes" if attempts > 1 else "never",
        str(attempts),
        in_words(retry.backoff_by_kind.get(kind, retry.backoff)) if attempts > 1 else "-",
        breaker,
        WHY[kind],
    )
    return f"| {' | '.join(cells)} |"


def error_tables(service: type[Service]) -> Iterator[tuple[str, ErrorTable]]:
    """Yield the error tables of a service: one, or one for each of its APIs."""
    for name in dir(service):
        value = getattr(service, name)
        if isinstance(value, ErrorTable):
            yield name.strip("_").replace("_", " "), value


def rule_table(rules: tuple[ErrorRule, ...]) -> Iterator[str]:
    """Yield the lines of a table of rules."""
    yield "| status | type or code | text | kind | |"
    yield "|---|---|---|---|---|"
    for rule in rules:
        names = ", ".join(f"`{name}`" for name in sorted(rule.names)) or "any"
        texts = " or ".join(f"“{text}”" for text in rule.texts) or "any"
        override = {None: "", True: "retried all the same", False: "not retried"}[rule.retryable]
        yield f"| {statuses(rule.statuses)} | {names} | {texts} | {rule.kind} | {override} |"


def statuses(found: Container[int] | None) -> str:
    """Write statuses as a list of single ones and ranges."""
    if found is None:
        return "any"
    runs: list[list[int]] = []
    for status in range(100, 600):
        if status not in found:
            continue
        if runs and runs[-1][-1] == status - 1:
            runs[-1].append(status)
        else:
            runs.append([status])
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def number_table(service: type[Service]) -> Iterator[str]:
    """Yield the lines of the table of the policy's numbers."""
    numbers = Settings().numbers(service.provider, service.policy)
    yield "| setting | value |"
    yield "|---|---|"
    for name, value in numbers.items():
        of_service = numbers.get(name.rpartition(".")[2]) if name.startswith("operations.") else None
        if value is not None and value != of_service:
            yield f"| `{name}` | {value:g} |"


def opening(breaker: Breaker) -> str:
    """Say after which failures a breaker opens."""
    in_a_row = f"{breaker.failures} in a row"
    if breaker.failure_rate is None:
        return in_a_row
    window = f"{breaker.window_attempts} or more in {breaker.window:g} s"
    return f"{in_a_row}, or {breaker.failure_rate:.0%} of {window}"


def in_words(backoff: Backoff) -> str:
    """Write a wait as people say it."""
    if isinstance(backoff, Fixed):
        return f"{backoff.delay:g} s"
    if isinstance(backoff, Decorrelated):
        return f"{backoff.initial:g} s, up to x{backoff.base:g} and {backoff.cap:g} s, decorrelated"
    if isinstance(backoff, Exponential):
        jitter = "" if str(backoff.jitter) == "none" else f", {backoff.jitter} jitter"
        return f"{backoff.initial:g} s, x{backoff.base:g} up to {backoff.cap:g} s{jitter}"
    return "by a rule of its own"


if __name__ == "__main__":
    raise SystemExit(main())
