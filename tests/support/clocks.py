"""Tests about time, without the waiting."""

import pytest

virtual_time = pytest.mark.virtual_time("trio")
"""Run an anyio test on trio with a clock that jumps to the next deadline when everybody waits.

Not for sockets: the clock does not wait for the network.
"""
