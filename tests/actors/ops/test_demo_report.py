from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors.ops.demo import (
    BreakerCounts,
    JobCounts,
    Latency,
    ProviderReport,
    Report,
    StepCounts,
    align,
    percentile,
    refusal_kind,
    report_lines,
    write_report,
)

OPENAI = ProviderReport(
    calls=100,
    attempts=128,
    retries=28,
    failures={"server": 7, "rate_limit": 21},
    refusals={"circuit_breaker_open": 3},
    breaker=BreakerCounts(opened=2, half_opened=2, closed=1),
    wait_seconds=6.9,
    latency_ms=Latency(p50=53.0, p99=2193.4),
)
IDLE = ProviderReport(
    calls=0,
    attempts=0,
    retries=0,
    failures={},
    refusals={},
    breaker=BreakerCounts(opened=0, half_opened=0, closed=0),
    wait_seconds=0.0,
    latency_ms=Latency(p50=None, p99=None),
)
REPORT = Report(
    seed=7,
    backend="trio",
    seconds=24.7,
    jobs=JobCounts(submitted=100, succeeded=99, dead=1, lost=0),
    steps=StepCounts(before=0, now=600, again=0),
    providers={"openai": OPENAI, "runpod": IDLE},
    restarts=0,
    dead_letters=0,
)


def test_the_json_has_the_fields_other_tools_parse(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path / "out.json")
    assert msgspec.json.decode((tmp_path / "out.json").read_bytes()) == {
        "seed": 7,
        "backend": "trio",
        "seconds": 24.7,
        "jobs": {"submitted": 100, "succeeded": 99, "dead": 1, "lost": 0},
        "steps": {"before": 0, "now": 600, "again": 0},
        "providers": {
            "openai": {
                "calls": 100,
                "attempts": 128,
                "retries": 28,
                "failures": {"server": 7, "rate_limit": 21},
                "refusals": {"circuit_breaker_open": 3},
                "breaker": {"opened": 2, "half_opened": 2, "closed": 1},
                "wait_seconds": 6.9,
                "latency_ms": {"p50": 53.0, "p99": 2193.4},
            },
            "runpod": {
                "calls": 0,
                "attempts": 0,
                "retries": 0,
                "failures": {},
                "refusals": {},
                "breaker": {"opened": 0, "half_opened": 0, "closed": 0},
                "wait_seconds": 0.0,
                "latency_ms": {"p50": None, "p99": None},
            },
        },
        "restarts": 0,
        "dead_letters": 0,
    }


def test_the_table_has_a_row_for_each_provider_under_its_headings() -> None:
    heading, openai, runpod, *_ = report_lines(REPORT)
    assert " ".join(openai.split()) == "openai 100 128 28 28 3 2/1 6.9 s 53 ms 2193 ms"
    assert runpod.split()[:2] == ["runpod", "0"]
    assert len(heading) == len(openai)


def test_failures_are_listed_by_kind_the_most_frequent_first() -> None:
    lines = report_lines(REPORT)
    assert "  openai: rate limit 21, server 7 failed" in lines
    assert "  openai: circuit breaker open 3 refused" in lines
    assert not any(line.startswith("  runpod:") for line in lines)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CircuitBreakerOpenError", "circuit_breaker_open"),
        ("RateLimitedError", "rate_limited"),
        ("DeadlineExceededError", "deadline_exceeded"),
    ],
)
def test_refusals_are_named_as_failures_are(name: str, kind: str) -> None:
    assert refusal_kind(name) == kind


def test_percentiles_are_measured_values_in_milliseconds() -> None:
    seconds = [number / 1000 for number in range(1, 101)]
    assert percentile(seconds, 0.5) == 51.0
    assert percentile(seconds, 0.99) == 100.0
    assert percentile([0.25], 0.99) == 250.0
    assert percentile([], 0.5) is None


@given(st.lists(st.floats(0.0, 1000.0), min_size=1))
def test_a_percentile_lies_between_the_least_and_the_most(seconds: list[float]) -> None:
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    assert p50 is not None
    assert p99 is not None
    assert round(min(seconds) * 1000, 1) <= p50 <= p99 <= round(max(seconds) * 1000, 1)


def test_text_is_flush_left_and_numbers_are_flush_right() -> None:
    assert align([["NAME", "N"], ["a", "100"]], left=1) == ["NAME    N", "a     100"]
