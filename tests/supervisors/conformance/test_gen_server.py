"""What ``gen_server`` promises of calls, starts and ends (Q1 to Q10)."""

import anyio
import pytest

from relight.runtime import (
    StartError,
)
from relight.supervisors import (
    open_system,
)
from tests.supervisors.recorded import (
    Diary,
    hanging,
)

pytestmark = pytest.mark.anyio


async def test_q5_a_start_that_takes_too_long_is_an_error() -> None:
    diary = Diary()
    async with open_system() as system:
        with pytest.raises(StartError, match="longer than 2 s"):
            await system.spawn(diary.child("a", started=hanging(1), start_timeout=2.0))
        assert anyio.current_time() == pytest.approx(2.0)
        assert system.actors() == []
