"""Jobs as RunPod sends them."""

from typing import cast

import msgspec

from ._runpod_messages import Job


class WireJob(msgspec.Struct, rename="camel"):
    """A job in RunPod's words, as far as they are read; most are missing until it has run."""

    id: str
    status: str
    output: object = None
    error: object = None
    delay_time: float | None = None
    """Milliseconds."""
    execution_time: float | None = None
    """Milliseconds."""

    def read(self) -> Job:
        """Say it in ours."""
        return Job(
            id=self.id,
            status=self.status,
            output=self.output,
            error=_text(self.error),
            queue_seconds=(self.delay_time or 0) / 1000,
            run_seconds=(self.execution_time or 0) / 1000,
        )


def error_inside(output: object) -> str:
    """Return the error a worker hid in its output, by returning it where it should have raised."""
    return _text(cast("dict[str, object]", output).get("error")) if isinstance(output, dict) else ""


def _text(error: object) -> str:
    if error is None or error == "":
        return ""
    return error if isinstance(error, str) else msgspec.json.encode(error).decode()
