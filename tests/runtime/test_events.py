"""Events: what is said, to whom, and that saying it harms nobody."""

import io
import logging
from functools import partial

import pytest
import structlog

from relight import Child, StartError
from relight.runtime import Events, event_logger
from tests.runtime.desk import Boom, Desk, Echo, heard, open_desk, settle

pytestmark = pytest.mark.anyio


async def test_an_error_without_a_text_is_reported_all_the_same() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class Broken(Desk):
        async def boom(self, message: Boom) -> int:
            raise MuteError

        async def started(self) -> None:
            if self.number > 2:
                raise MuteError

    async with open_desk(Broken) as (system, ref, log):
        events = heard(system)
        await ref.tell(Boom())
        assert await ref.ask(Echo(1)) == 1
        assert events[0][1]["error"] == "<no text: its __str__ raised RuntimeError>"
        with pytest.raises(StartError, match="MuteError: <no text"):
            await system.spawn(Child("other", partial(Broken, log)))
        assert await ref.ask(Echo(2)) == 2


async def test_a_listener_that_raises_is_told_of_nothing_more_and_harms_nobody() -> None:
    heard_by_bad: list[str] = []

    def bad(name: str, _: object) -> None:
        heard_by_bad.append(name)
        raise ValueError("bad listener")

    async with open_desk() as (system, ref, _log):
        system.events.listen(bad)
        events = heard(system)
        for _ in range(2):
            await ref.tell(Boom())
            await settle()
        assert await ref.ask(Echo(1)) == 1
        assert heard_by_bad == ["actor.crashed"]
        assert [name for name, _ in events].count("actor.crashed") == 2


async def test_a_listener_can_be_taken_back() -> None:
    names: list[str] = []
    async with open_desk() as (system, ref, _log):
        end = system.events.listen(lambda name, _: names.append(name))
        end()
        await ref.tell(Boom())
        await settle()
        assert names == []


async def test_a_crash_in_a_task_group_is_reported_by_its_one_error() -> None:
    class Grouped(Desk):
        async def boom(self, message: Boom) -> int:
            raise ExceptionGroup("several", [ExceptionGroup("inner", [KeyError("which")])])

    async with open_desk(Grouped) as (system, ref, _log):
        events = heard(system)
        await ref.tell(Boom())
        await settle()
        assert events[0][1]["error_type"] == "KeyError"
        assert "several" in str(events[0][1]["traceback"])


async def test_secrets_in_an_errors_text_are_not_told() -> None:
    async with open_desk() as (system, ref, _log):
        events = heard(system)
        await ref.tell(Boom("sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"))
        await settle()
        assert "abcdefghijklmnop" not in str(events)


def quiet_logger(level: int) -> tuple[structlog.typing.FilteringBoundLogger, io.StringIO]:
    page = io.StringIO()
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(page),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[structlog.processors.KeyValueRenderer()],
    )
    return logger, page


def test_events_are_logged_at_their_level() -> None:
    logger, page = quiet_logger(logging.WARNING)
    events = Events(lambda: 0.0, logger)
    events.info("actor.restarted", restarts=1)
    events.warning("provider.paused", seconds=2)
    events.error("actor.gave_up", child="desk")
    assert page.getvalue().splitlines() == [
        "seconds=2 event='provider.paused'",
        "child='desk' event='actor.gave_up'",
    ]


def test_a_crash_nobody_would_hear_of_is_not_described() -> None:
    logger, page = quiet_logger(logging.CRITICAL)
    events = Events(lambda: 0.0, logger)

    class SecretiveError(Exception):
        def __str__(self) -> str:
            raise AssertionError

    events.crashed("desk", "Desk", "Boom", SecretiveError())
    assert page.getvalue() == ""


async def test_a_logger_that_can_not_be_asked_for_its_level_gets_every_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = io.StringIO()
    plain = structlog.wrap_logger(
        structlog.PrintLogger(page),
        wrapper_class=structlog.BoundLogger,
        processors=[structlog.processors.KeyValueRenderer()],
    )
    monkeypatch.setattr(structlog, "is_configured", lambda: True)

    def get_logger(_name: str) -> object:
        return plain

    monkeypatch.setattr(structlog, "get_logger", get_logger)
    async with open_desk() as (_, ref, _log):
        await ref.tell(Boom())
        assert await ref.ask(Echo(1)) == 1
    assert "event='actor.crashed'" in page.getvalue()
    assert "event='actor.restarted'" in page.getvalue()


def test_what_is_as_it_should_be_is_not_even_handed_to_a_logger_that_would_drop_it() -> None:
    logger, page = quiet_logger(logging.WARNING)
    events = Events(lambda: 0.0, logger)
    events.info("actor.restarted", actor_path="desk")
    assert page.getvalue() == ""
    names: list[str] = []
    events.listen(lambda name, _: names.append(name))
    events.info("actor.restarted", actor_path="desk")
    assert names == ["actor.restarted"]


def test_a_listener_hears_what_the_log_does_not() -> None:
    logger, _ = quiet_logger(logging.CRITICAL)
    events = Events(lambda: 0.0, logger)
    names: list[str] = []
    events.listen(lambda name, _: names.append(name))
    events.crashed("desk", "Desk", "Boom", ValueError())
    assert names == ["actor.crashed"]


def test_events_go_to_standard_error_where_the_application_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structlog, "is_configured", lambda: False)
    logger = event_logger("warning")
    logger.info("actor.restarted")
    logger.warning("provider.paused", api_key="sk-proj-abcdefghijklmnopqrstuvwxyz0123456789")
    caught = capsys.readouterr()
    assert caught.out == ""
    assert "provider.paused" in caught.err
    assert "actor.restarted" not in caught.err
    assert "abcdefghijklmnop" not in caught.err


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_traceback_has_lines_of_its_own_where_a_person_reads(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structlog, "is_configured", lambda: False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    logger = event_logger()
    logger.error("actor.crashed", traceback="Traceback:\n  line 7\nValueError: \x1b[2Jgone\n")
    logger.info("actor.restarted", restarts=1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (5 if is_terminal else 2)
    assert ("  line 7" in lines) is is_terminal
    assert not any("\x1b[2J" in line for line in lines)
    assert "restarts" in lines[-1]


def test_an_application_that_configured_structlog_gets_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as entries:
        monkeypatch.setattr(structlog, "is_configured", lambda: True)
        event_logger().error("actor.gave_up", child="desk")
    structlog.reset_defaults()  # else the rest of the suite would count as such an application
    assert entries == [{"event": "actor.gave_up", "child": "desk", "log_level": "error"}]
