"""What can be chosen about a fake, and the one value that describes it to the child process."""

from collections.abc import Mapping

import msgspec

from ._names import check_provider
from ._outages import Outage
from ._plan import FaultPlan
from ._ranges import check_range


class FakeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Choose how fast a fake answers, what it accepts and how its workers work. Seconds throughout."""

    key: str | None = None
    """The API key it accepts; None: ``fake-<provider>-key``."""
    latency: tuple[float, float] = (0.005, 0.03)
    """Each answer takes a time drawn evenly from these bounds."""
    chunk_delay: float = 0.0
    """Seconds before each piece of a stream."""
    quota: int | None = None
    """Requests until the money is spent; None: endless."""
    requests_per_minute: int | None = None
    """A rate limit with true headers; None: no limit, and headers that say so."""
    tokens_per_minute: int | None = None
    """The same for tokens: a word of the request's body is one."""
    concurrency: int | None = None
    """ElevenLabs: requests dealt with at the same time, with true headers; None: five, as of a small plan."""
    characters: int | None = None
    """ElevenLabs: characters until the quota is exceeded; None: endless."""
    tables: Mapping[str, tuple[str, ...]] = {}
    """Supabase: the primary key of each table; a table not named has ``id``."""
    max_body: int = 10_000_000
    """Bytes of a request's body; more is answered with 413."""
    context_tokens: int = 128_000
    """Words of a prompt the models read; more is a context length error."""
    workers: int = 8
    """RunPod: jobs that run at the same time; the others queue."""
    run_seconds: tuple[float, float] = (0.05, 0.15)
    """RunPod: each job runs for a time drawn evenly from these bounds."""
    cold_start_seconds: float = 1.0
    """RunPod: time in the queue of a job that waits for a worker to boot."""
    retention_seconds: float = 1800.0
    """RunPod: an ended job is kept for so long, then its status is a 404."""

    def __post_init__(self) -> None:
        for field, (low, high) in {"latency": self.latency, "run_seconds": self.run_seconds}.items():
            check_range(f"FakeOptions.{field}[0]", low, 0.0, 600.0)
            check_range(f"FakeOptions.{field}[1]", high, low, 600.0)
        check_range("FakeOptions.chunk_delay", self.chunk_delay, 0.0, 600.0)
        if self.quota is not None:
            check_range("FakeOptions.quota", self.quota, 0, 10**9)
        if self.requests_per_minute is not None:
            check_range("FakeOptions.requests_per_minute", self.requests_per_minute, 1, 10**6)
        if self.tokens_per_minute is not None:
            check_range("FakeOptions.tokens_per_minute", self.tokens_per_minute, 1, 10**9)
        if self.concurrency is not None:
            check_range("FakeOptions.concurrency", self.concurrency, 1, 10**6)
        if self.characters is not None:
            check_range("FakeOptions.characters", self.characters, 0, 10**9)
        for table, key in self.tables.items():
            if not key:
                raise ValueError(f"FakeOptions.tables[{table!r}] must name a column at least, got {key!r}")
        check_range("FakeOptions.max_body", self.max_body, 1, 100_000_000)
        check_range("FakeOptions.context_tokens", self.context_tokens, 1, 10**9)
        check_range("FakeOptions.workers", self.workers, 1, 10_000)
        check_range("FakeOptions.cold_start_seconds", self.cold_start_seconds, 0.0, 86_400.0)
        check_range("FakeOptions.retention_seconds", self.retention_seconds, 0.0, 86_400.0)


class FakeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a child process has to know about one fake."""

    provider: str
    port: int = 0
    """0: the system chooses."""
    plan: FaultPlan = FaultPlan()
    outages: tuple[Outage, ...] = ()
    options: FakeOptions = FakeOptions()

    def __post_init__(self) -> None:
        check_provider(self.provider)
        check_range("FakeSpec.port", self.port, 0, 65_535)

    @property
    def key(self) -> str:
        """The API key the fake accepts."""
        return self.options.key or f"fake-{self.provider}-key"
