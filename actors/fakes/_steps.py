"""Scripted answers: what a test wants the next requests to meet."""

from collections.abc import Mapping

import msgspec

from ._plan import STREAM_KINDS, FaultKind, RetryAfterForm
from ._ranges import check_range


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Say what one of the next requests gets. Without any field: an ordinary answer.

    Steps are used in the order scripted, each by the first request it fits; they come before
    outages, quota and plan. *fault*, *status*, *answer* and *error* exclude one another; but a fault
    of streams may name the *error* it tells.
    """

    fault: FaultKind | None = None
    """Meet this fault."""
    status: int | None = None
    """Reply with this status and *body*, word for word."""
    body: str | None = None
    """Text of the reply that *status* begins; JSON is sent as such, anything else as HTML."""
    headers: Mapping[str, str] = {}
    """Put these into the reply's headers, over those it has (``{"retry-after": "junk"}``)."""
    answer: str | None = None
    """Let the model say this, in the provider's usual shape."""
    error: str | None = None
    """Refuse with this error of the provider's: a name of ``ERRORS``, or of a fault. With a fault of
    streams, the stream tells it (else: overloaded)."""
    delay: float | None = None
    """Seconds until the reply; None: the latency of the options. For a hang, a stall or pings: the limit."""
    chunk_delay: float | None = None
    """Seconds before each piece of a stream, pings included; None: those of the options."""
    after: int | None = None
    """A fault in a stream comes after so many of its pieces; None: in the middle."""
    retry_after: float | None = None
    """Seconds a 429 asks to wait; None: those of the plan."""
    retry_after_form: RetryAfterForm | None = None
    """How it says so; None: a form of the plan."""
    queue_seconds: float | None = None
    """RunPod: how long the job waits for a worker."""
    run_seconds: float | None = None
    """RunPod: how long the job runs."""
    operation: str | None = None
    """Only for requests to this one, by the name it has in the log; None: for any.

    OpenAI: chat, responses, embeddings, images, image. Anthropic: messages. RunPod: run, status, cancel,
    retry, health. ElevenLabs: speech, speech_stream, voices. Supabase: select, insert, update, delete, rpc,
    and storage_upload, storage_update, storage_download, storage_list, storage_remove, storage_sign,
    storage_signed.
    """
    times: int = 1
    """For so many requests."""

    def __post_init__(self) -> None:
        chosen = {"fault": self.fault, "status": self.status, "answer": self.answer, "error": self.error}
        names = [name for name, value in chosen.items() if value is not None]
        if len(names) > 1 and not (names == ["fault", "error"] and self.fault in STREAM_KINDS):
            raise ValueError(f"Step takes one of fault, status, answer and error, got {' and '.join(names)}")
        check_range("Step.status", self.status or 200, 200, 599)
        check_range("Step.times", self.times, 1, 10**6)
        check_range("Step.delay", self.delay or 0.0, 0.0, 600.0)
        check_range("Step.chunk_delay", self.chunk_delay or 0.0, 0.0, 600.0)
        check_range("Step.after", self.after or 0, 0, 10**6)
        check_range("Step.retry_after", self.retry_after or 0.0, 0.0, 86_400.0)
        check_range("Step.queue_seconds", self.queue_seconds or 0.0, 0.0, 86_400.0)
        check_range("Step.run_seconds", self.run_seconds or 0.0, 0.0, 86_400.0)


class Script:
    """The steps still to be used."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def __len__(self) -> int:
        return sum(step.times for step in self._steps)

    def add(self, steps: list[Step]) -> None:
        """Put *steps* behind those still waiting."""
        self._steps.extend(steps)

    def take(self, operation: str) -> Step | None:
        """Use up the first step for a request to *operation*; None: no step fits."""
        for index, step in enumerate(self._steps):
            if step.operation in {None, operation}:
                self._use(index, step)
                return step
        return None

    def _use(self, index: int, step: Step) -> None:
        if step.times == 1:
            del self._steps[index]
        else:
            self._steps[index] = msgspec.structs.replace(step, times=step.times - 1)
