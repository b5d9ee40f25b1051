"""Test your actors and their trees: virtual time, stand-ins, observation, conformance.

    async def test_an_agent_waits_for_the_provider() -> None:
        script = FlakyService.script([Fail(FailureKind.RATE_LIMIT, retry_after=60.0), Ok("hello")])
        async with open_system() as system:
            openai = await system.spawn(Child("openai", script))
            with capture_events(system) as events:
                assert await openai.ask(Complete("hi")) == "hello"
            assert events.named("provider.paused")
            await assert_no_leaks(system)

    run_virtual(test_an_agent_waits_for_the_provider)       # a minute passes at once

Fixtures for pytest: ``pytest_plugins = ["relight.testing.plugin"]``.
"""

from ..runtime import claim
from ._clock import JumpingLoop, is_virtual, jump, run_virtual, settle, virtual_backend
from ._conformance import ACTOR_CHECKS, ActorConformance, ConformanceError, check_actor_conformance
from ._crash import CrashOnPurposeError, crash
from ._events import CapturedEvent, CapturedEvents, capture_events
from ._flaky_service import FlakyScript, FlakyService, SeenAttempt
from ._idle import wait_until_idle
from ._leaks import assert_no_leaks, no_leaks
from ._outcomes import Crash, Delay, Fail, Hang, Ok, Outcome
from ._recorder import Recorder

__all__ = [
    "ACTOR_CHECKS",
    "ActorConformance",
    "CapturedEvent",
    "CapturedEvents",
    "ConformanceError",
    "Crash",
    "CrashOnPurposeError",
    "Delay",
    "Fail",
    "FlakyScript",
    "FlakyService",
    "Hang",
    "JumpingLoop",
    "Ok",
    "Outcome",
    "Recorder",
    "SeenAttempt",
    "assert_no_leaks",
    "capture_events",
    "check_actor_conformance",
    "crash",
    "is_virtual",
    "jump",
    "no_leaks",
    "run_virtual",
    "settle",
    "virtual_backend",
    "wait_until_idle",
]

claim(globals())
