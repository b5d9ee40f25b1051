"""What the states of a circuit are called."""

import enum
from typing import Literal

Forced = Literal["open", "closed", "metrics_only"]
"""A state an operator can hold a circuit in."""

OpenReason = Literal["failures", "failure_rate", "slow_rate", "probe_failed", "probe_slow", "forced"]
"""Why a circuit is open: failures in a row, a share of failed or slow attempts, a probe, or an operator."""


class CircuitState(enum.IntEnum):
    """Whether calls may pass. The values are the metric's."""

    CLOSED = 0
    """All may pass."""
    HALF_OPEN = 1
    """A few probes may pass."""
    OPEN = 2
    """None may pass."""
