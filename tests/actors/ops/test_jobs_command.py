"""``relight jobs``, as people and programs meet it."""

import io
import json
import os
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest

from relight.__main__ import main
from relight.actors.jobs import JobContext, Queue, SqliteStore
from tests.actors.jobs.desk_help import kill, new
from tests.actors.jobs.faults import a_message


class Moments(msgspec.Struct):
    """What a list of jobs has of each one's moments."""

    created_at: float
    due_at: float | None


class Shell:
    """Run commands on one file, and look at it in between."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "jobs.db"
        self.store = SqliteStore(self.file)
        self._capsys = capsys

    def __call__(self, *arguments: str, status: int = 0) -> str:
        self._capsys.readouterr()
        url = f"sqlite:///{self.file}"
        assert main(["jobs", *arguments, "--store", url]) == status
        self.said = self._capsys.readouterr()
        return self.said.out

    def json(self, *arguments: str, status: int = 0) -> dict[str, object]:
        found: dict[str, object] = json.loads(self(*arguments, "--json", status=status))
        return found

    def do(self, action: Callable[[], Awaitable[object]]) -> None:
        async def inside() -> None:
            async with self.store.opened():
                await action()

        anyio.run(inside)

    def moments(self) -> list[Moments]:
        return msgspec.convert(self.json("list")["jobs"], list[Moments])

    def states(self) -> list[str]:
        rows = msgspec.convert(self.json("list")["jobs"], list[dict[str, object]])
        return [str(row["state"]) for row in reversed(rows)]


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Three dead jobs, and one that is queued."""
    made = Shell(tmp_path, capsys)

    async def fill() -> None:
        secret = b'["a cat", "postgres://me:hush@db"]'
        await made.store.enqueue([new(1, args=secret), new(2, user="ann"), new(3), new(4)])
        await kill(made.store, 1, 2, 3, steps=1)

    made.do(fill)
    return made


def test_each_option_of_each_command_has_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["jobs", "--help"])
    actions = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert len(actions) == 15
    for action in actions:
        with pytest.raises(SystemExit):
            main(["jobs", action, "--help"])
        lines = capsys.readouterr().out.splitlines()
        names = [n for n, line in enumerate(lines) if re.match(r"  (-|[A-Z])", line)]
        assert names
        for n in names:  # beside its name, or further in on the next line
            said = re.search(r"\S  +\S", lines[n]) or re.match(r" {10}", "".join(lines[n + 1 : n + 2]))
            assert said, (action, lines[n])


def test_jobs_are_listed_in_plain_lines(shell: Shell) -> None:
    lines = shell("list").splitlines()
    assert lines[0].split()[:4] == ["id", "state", "queue", "kind"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["job-0004", "queued"],
        ["job-0003", "dead"],
        ["job-0002", "dead"],
        ["job-0001", "dead"],
    ]


def test_a_waiting_job_is_listed_with_when_it_goes_on(shell: Shell) -> None:
    shell.do(partial(shell.store.enqueue, [new(5, delay=86_400.0 * 3), new(6, delay=600.0)]))
    lines = {line.split()[0]: line for line in shell("list").splitlines()}
    assert re.search(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \(in 3 d\)", lines["job-0005"])
    assert "(in 10 min)" in lines["job-0006"]
    assert "(" not in lines["job-0004"]
    waiting = [row for row in shell.moments() if row.due_at is not None]
    assert [row.due_at - row.created_at for row in waiting if row.due_at] == pytest.approx(
        [600.0, 86_400.0 * 3]
    )
    assert "(in 3 d)" in shell("show", "job-0005")
    assert "(" not in shell("show", "job-0004").split("run_at")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("delay", "said"),
    [(0.001, r"due"), (100.0, r"in \d+ s"), (600.0, r"in 10 min"), (7500.0, r"in 2 h"), (1e6, r"in 12 d")],
)
def test_how_far_away_a_moment_is_is_said_as_people_do(delay: float, said: str, shell: Shell) -> None:
    shell.do(partial(shell.store.enqueue, [new(5, delay=delay)]))
    assert re.search(rf"Z \({said}\)", shell("list", "--state", "waiting"))


@pytest.mark.parametrize(
    ("command", "last"),
    [(["list"], "job-0003"), (["dead"], "job-0002"), (["events"], None), (["events", "--json"], None)],
)
def test_a_list_that_is_cut_off_says_so_and_how_to_go_on(
    shell: Shell, command: list[str], last: str | None
) -> None:
    shown = shell(*command, "--most", "2").splitlines()
    assert len([line for line in shown if "job-000" in line]) == 2
    (line,) = shell.said.err.splitlines()
    found = re.search(r"there are more: go on with --after (\S+), or give a greater --most", line)
    assert found
    assert last is None or last == found[1]
    rest = shell(*command, "--after", found[1])
    assert rest
    assert not {line for line in rest.splitlines() if "job-000" in line} & set(shown)
    assert shell.said.err == ""


def test_a_list_of_messages_that_is_cut_off_names_no_job_to_go_on_with(shell: Shell) -> None:
    shell.do(partial(shell.store.keep_messages, [a_message()], most=10))
    shell("dead", "--most", "1")
    assert shell.said.err == "relight: there are more: give a greater --most\n"


@pytest.mark.parametrize("command", ["list", "dead"])
def test_to_go_on_after_what_is_no_id_is_a_mistake(shell: Shell, command: str) -> None:
    shell(command, "--after", "job-9999", status=2)
    assert "--after: is the id of no job" in shell.said.err
    gone = "01m8a8ta48kdkywgkbq0e27pf1"  # of a job that was deleted, perhaps
    assert "job-0001" in shell(command, "--after", "job-0002")
    assert shell(command, "--after", gone, status=1) == ""


def test_jobs_are_chosen_by_what_they_have_in_common(shell: Shell) -> None:
    assert "job-0002" in shell("list", "--user", "ann")
    assert "job-0001" not in shell("list", "--user", "ann")
    assert "job-0004" in shell("list", "--state", "queued")
    shell("list", "--kind", "nothing", status=1)


def test_a_job_is_shown_without_its_secrets(shell: Shell) -> None:
    said = shell("show", "job-0001")
    assert "no ink left" in said
    assert "step-0" in said
    assert "hush" not in said + shell("show", "job-0001", "--json")
    shell("show", "job-9999", status=1)


def test_dead_jobs_are_grouped(shell: Shell) -> None:
    (group,) = msgspec.convert(shell.json("groups")["groups"], list[dict[str, object]])
    assert (group["count"], group["cause"]) == (3, "draw: ValueError: no ink left")
    assert "3" in shell("groups").splitlines()[1].split()


def test_one_some_and_all_are_retried(shell: Shell) -> None:
    assert shell("retry", "job-0001").splitlines() == ["retried: 1", "job-0001"]
    shell("retry", "--user", "ann")
    shell("retry", "--all")
    assert shell.states() == ["queued"] * 4
    shell("retry", "--all", status=1)


def test_a_deadline_that_a_retry_has_removed_is_said(shell: Shell) -> None:
    async def die_late() -> None:
        await shell.store.enqueue([new(5, timeout=-1.0)])
        await shell.store.register("w9", 60.0, {})
        await shell.store.claim("w9", ["q"], 0)

    shell.do(die_late)
    assert shell("retry", "job-0001", "job-0005").splitlines()[0] == (
        "retried: 2, 1 without a deadline: it had passed"
    )


@pytest.mark.parametrize("action", ["retry", "replay", "discard", "cancel"])
def test_nothing_named_is_a_mistake_in_one_line(shell: Shell, action: str) -> None:
    shell(action, status=2)
    assert shell.said.err.count("\n") == 1
    assert "nothing is selected" in shell.said.err
    assert "--all" in shell.said.err


def test_jobs_are_replayed_from_scratch(shell: Shell) -> None:
    outcome = shell.json("replay", "job-0001", "job-0002")
    assert (outcome["matched"], outcome["done"]) == (2, 2)
    assert sorted(shell.states()) == ["dead", "discarded", "discarded", "queued", "queued", "queued"]


def test_a_part_that_could_not_be_done_is_said(shell: Shell) -> None:
    assert shell("retry", "job-0003", "job-0004", status=1).splitlines()[0] == "retried: 1, 1 skipped"
    assert "stopped" in shell("retry", "--all", "--most", "1")
    shell("discard", "job-0002", "job-9999", status=1)


@pytest.mark.parametrize("way", ["text", "file", "input"])
def test_a_job_is_edited_and_replayed(
    shell: Shell, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '["a dog"]'
    (tmp_path / "args.json").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    given = {"text": text, "file": str(tmp_path / "args.json"), "input": "-"}[way]
    (made,) = msgspec.convert(shell.json("edit", "job-0001", "--args", given)["ids"], list[str])
    assert shell.json("show", made)["arguments"] == ["a dog"]


@pytest.mark.parametrize("given", ["[1", "/nowhere/args.json", '{"a": 1}'])
def test_bad_arguments_are_a_mistake_in_one_line(shell: Shell, given: str) -> None:
    shell("edit", "job-0001", "--args", given, status=2)
    assert shell.said.err.count("\n") == 1


def test_arguments_are_checked_by_the_applications_types(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawing_app.py").write_text(
        "from relight.actors.jobs import JobContext, MemoryStore, Queue\n"
        "queue = Queue(MemoryStore(), 'q')\n"
        "@queue.job()\n"
        "async def draw(job: JobContext, what: str) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]
    shell("edit", "job-0002", "--args", "[7]", "--app", "drawing_app:queue", status=2)
    assert "Expected `str`" in shell.said.err
    assert shell.json("show", "job-0002", "--app", "drawing_app:queue")["arguments"] == {"what": "a cat"}
    shell("show", "job-0002", "--app", "no_such_app:queue", status=2)
    shell("show", "job-0002", "--app", "drawing_app:draw", status=2)
    shell("show", "job-0002", "--app", "drawing_app", status=2)
    assert "MODULE:QUEUE" in shell.said.err
    (tmp_path / "broken_app.py").write_text("raise RuntimeError('password=hush')")
    shell("show", "job-0002", "--app", "broken_app:queue", status=2)
    assert "RuntimeError" in shell.said.err
    assert "hush" not in shell.said.err


def test_jobs_are_cancelled_and_discarded(shell: Shell) -> None:
    shell("cancel", "--all")
    shell("discard", "job-0003")
    assert shell.states() == ["dead", "dead", "discarded", "cancelled"]


def test_queues_are_paused_and_resumed(shell: Shell) -> None:
    assert "paused" in shell("pause", "q")
    assert "open" in shell("resume", "q")
    assert shell("queues").splitlines()[1].split()[:2] == ["q", "open"]
    shell("pause", "nowhere", status=1)


def test_a_queue_that_no_worker_serves_is_said_to_have_none(shell: Shell) -> None:
    head, line = shell("queues").splitlines()
    assert head.split() == ["queue", "state", "workers", "limit", "queued", "waiting", "running", "dead"]
    assert line.split() == ["q", "open", "none", "-", "1", "0", "0", "3"]
    assert "queue 'q': no worker takes its jobs, and 1 wait for one: start a worker" in shell.said.err
    (row,) = msgspec.convert(shell.json("queues")["queues"], list[dict[str, object]])
    assert (row["workers"], row["is_unserved"]) == (0, True)
    shell.do(partial(shell.store.register, "w9", 60.0, {}, ["q"]))
    assert shell("queues").splitlines()[1].split()[:3] == ["q", "open", "1"]
    assert shell.said.err == ""


def test_what_has_ended_is_counted_where_it_is_asked_for(shell: Shell) -> None:
    shell("discard", "--all")
    assert "discarded" not in shell("queues")
    head, line = shell("queues", "--ended").splitlines()
    assert head.split()[-1] == "discarded"
    assert line.split()[-1] == "3"


def test_a_queue_that_has_only_ended_jobs_is_paused_too(shell: Shell) -> None:
    shell("discard", "--all")
    shell("cancel", "--all")
    shell("queues", status=1)
    assert "paused" in shell("pause", "q")


def test_what_is_old_is_pruned(shell: Shell) -> None:
    shell.do(partial(shell.store.keep_messages, [a_message()], most=10))
    counts = "0 jobs, 0 events, 1 messages, 0 entries of the ledger"  # the message is of 1970
    assert shell("prune", "--older-than", "1h", "--dry-run") == f"would prune: {counts}\n"
    assert shell("prune", "--older-than", "1h") == f"pruned: {counts}, 0 files of results\n"
    assert len(shell.states()) == 4
    would = shell.json("prune", "--older-than", "0.001s", "--dry-run")
    assert (would["dry_run"], would["jobs"], would["files"]) == (True, 3, None)
    done = shell.json("prune", "--older-than", "0.001s")
    assert (done["dry_run"], done["jobs"], done["ledger"], done["files"]) == (False, 3, 0, 0)
    assert shell.states() == ["queued"]
    assert shell.json("prune", "--older-than", "0.001s")["jobs"] == 0


def test_the_ledger_is_pruned_where_it_is_asked_for(shell: Shell) -> None:
    connection = sqlite3.connect(shell.file)
    (entries,) = connection.execute("SELECT count(*) FROM relight_ledger").fetchone()
    connection.execute("UPDATE relight_ledger SET at = at - 40 * 86400.0 WHERE job = 'job-0001'")
    connection.commit()
    connection.close()
    assert shell.json("prune", "--ledger-older-than", "2w", "--dry-run")["ledger"] == 2
    done = shell.json("prune", "--ledger-older-than", "30d")
    assert (done["ledger"], done["jobs"], entries) == (2, 0, 6)
    assert len(shell.states()) == 4


def test_files_that_no_job_refers_to_are_pruned_too(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder_app.py").write_text(
        "from relight.actors.jobs import MemoryStore, Queue\n"
        f"queue = Queue(MemoryStore(), 'q', blobs={str(tmp_path / 'elsewhere')!r})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]
    for folder, app in (("jobs.db.results", []), ("elsewhere", ["--app", "folder_app:queue"])):
        file = tmp_path / folder / "ab" / ("ab" * 32)
        file.parent.mkdir(parents=True)
        file.write_text("large")
        os.utime(file, (1e9, 1e9))
        assert shell.json("prune", "--older-than", "30d", *app)["files"] == 1
        assert not file.exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--older-than", "30"],
        ["--older-than", "0d"],
        ["--older-than", "soon"],
        ["--ledger-older-than", "1d"],
        ["--ledger-older-than", "-3d"],
    ],
)
def test_an_age_that_is_none_is_a_mistake(
    shell: Shell, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["jobs", "prune", *options, "--store", str(shell.file)])
    assert "Traceback" not in capsys.readouterr().err


def test_to_prune_nothing_is_a_mistake(shell: Shell) -> None:
    shell("prune", "--dry-run", status=2)
    (line,) = shell.said.err.splitlines()
    assert "give --older-than" in line


READING = [["list"], ["show", "job-0001"], ["queues"], ["events"], ["dead"], ["groups"], ["pause", "q"]]


def age(file: Path) -> None:
    """Make a store of version 4."""
    connection = sqlite3.connect(file)
    connection.execute("ALTER TABLE relight_worker DROP COLUMN queues")
    connection.execute("DELETE FROM relight_schema WHERE version > 4")
    connection.commit()
    connection.close()


def versions(file: Path) -> int:
    connection = sqlite3.connect(file)
    (found,) = connection.execute("SELECT max(version) FROM relight_schema").fetchone()
    connection.close()
    return int(found)


@pytest.mark.parametrize("command", READING)
def test_an_older_store_is_not_migrated_by_a_look_at_it(shell: Shell, command: list[str]) -> None:
    age(shell.file)
    shell(*command, status=2)
    (line,) = shell.said.err.splitlines()
    assert "its schema is of version 4, this relight wants 5" in line
    assert "python -m relight jobs migrate" in line
    assert versions(shell.file) == 4


def test_a_store_is_migrated_where_it_is_asked_for(shell: Shell) -> None:
    assert "version 5 already" in shell("migrate")
    age(shell.file)
    assert shell("migrate") == "migrated: from version 4 to 5\n"
    assert shell.states() == ["dead", "dead", "dead", "queued"]
    assert shell.json("migrate") == {"found": 5, "version": 5}


def test_a_store_that_is_not_there_is_made_by_migrating_alone(shell: Shell) -> None:
    shell.file = shell.file.with_name("new.db")
    for command in READING:
        shell(*command, status=2)
        (line,) = shell.said.err.splitlines()
        assert "there is no job store at" in line
        assert not shell.file.exists()
    assert shell("migrate") == "made: a job store of version 5\n"
    shell("queues", status=1)


def test_a_file_without_tables_holds_no_store_and_stays_so(shell: Shell) -> None:
    shell.file = shell.file.with_name("empty.db")
    shell.file.touch()
    shell("list", status=2)
    (line,) = shell.said.err.splitlines()
    assert "there is no job store here yet" in line
    assert shell.file.stat().st_size == 0


def test_a_newer_store_is_refused_by_all(shell: Shell) -> None:
    connection = sqlite3.connect(shell.file)
    connection.execute("INSERT INTO relight_schema VALUES (99)")
    connection.commit()
    connection.close()
    for command in (["list"], ["migrate"]):
        shell(*command, status=2)
        (line,) = shell.said.err.splitlines()
        assert "version 99, this relight knows 5: upgrade relight" in line


def test_what_is_not_found_is_said_with_where_to_look(shell: Shell) -> None:
    assert "-" not in shell("list", "--kind", "nothing", status=1)
    assert "no job is like that" in shell.said.err
    shell("show", "job-9999", status=1)
    assert "relight jobs list" in shell.said.err
    shell("pause", "nowhere", status=1)
    assert "there are: q" in shell.said.err
    shell("groups", "--kind", "nothing", status=1)
    assert "nothing dead is like that" in shell.said.err


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["retry", "job-0001", "job-9999"], "there is no job job-9999"),
        (["retry", "job-0004"], "job job-0004 is queued: dead, cancelled and discarded jobs are retried"),
        (["replay", "job-0004"], "job job-0004 is queued: only jobs that have ended are replayed"),
        (["edit", "job-0004", "--args", "[]"], "job job-0004 is queued"),
        (["discard", "job-0004"], "only dead jobs are put aside"),
        (["cancel", "job-0001"], "job job-0001 is dead: only unfinished jobs are cancelled"),
        (["retry", "job-0001", "--user", "ann"], "none of what the other options ask for"),
        (["retry", "--user", "nobody"], "there is nothing like that among the dead; dead, cancelled and"),
        (["replay", "--user", "nobody"], "name others by id, or add --state"),
        (
            ["replay", "--user", "nobody", "--state", "succeeded"],
            "nothing like that; only jobs that have ended",
        ),
        (["discard", "--user", "nobody"], "there is nothing like that: only dead jobs are put aside"),
        (["cancel", "--state", "dead", "--all"], "left as they are: only unfinished jobs are cancelled"),
        (["discard", "letter-5e41e5-9"], "there is no message letter-5e41e5-9"),
        (["cancel", "letter-5e41e5-1"], "letter-5e41e5-1 is a message, not a job"),
    ],
)
def test_why_something_was_not_done_is_said_in_a_line(shell: Shell, command: list[str], reason: str) -> None:
    shell.do(partial(shell.store.keep_messages, [a_message()], most=10))
    shell(*command, status=1)
    (line,) = shell.said.err.splitlines()
    assert reason in line


def test_a_held_unique_key_is_said(shell: Shell) -> None:
    async def hold() -> None:
        await shell.store.enqueue([new(5, unique_key="k")])
        await shell.store.cancel(["job-0005"])
        await shell.store.enqueue([new(6, unique_key="k")])

    shell.do(hold)
    shell("retry", "job-0005", status=1)
    assert "another unfinished job has their unique key" in shell.said.err


def test_messages_are_listed_shown_and_discarded_with_dead_jobs(shell: Shell) -> None:
    shell.do(partial(shell.store.keep_messages, [a_message()], most=10))
    lines = [line.split()[:4] for line in shell("dead").splitlines()]
    assert lines[:2] == [["id", "source", "where", "kind"], [a_message().id, "actor", "app/painter", "Paint"]]
    assert [line[1] for line in lines[2:]] == ["job"] * 3
    assert len(shell("dead", "--source", "job", "--most", "2").splitlines()) == 3
    shell("dead", "--source", "service", status=1)
    letters = msgspec.convert(shell.json("dead", "--source", "actor")["letters"], list[dict[str, object]])
    assert letters[0]["process"] == "studio-77"
    assert "studio-77" in shell("show", a_message().id)
    assert "what  a cat" in shell.said.out
    assert shell.json("show", a_message().id)["content"] == {"what": "a cat"}
    assert "actor" in shell("groups")
    assert shell("discard", a_message().id).splitlines() == ["discarded: 1", a_message().id]
    shell("show", a_message().id, status=1)


def test_a_message_of_another_process_is_not_retried_and_why_is_said_in_a_line(shell: Shell) -> None:
    shell.do(partial(shell.store.keep_messages, [a_message()], most=10))
    shell("retry", a_message().id, status=2)
    (line,) = shell.said.err.splitlines()
    assert "can't be told to 'app/painter' again from here" in line
    assert "studio-77" in line
    shell("retry", "--all")
    assert shell.states() == ["queued"] * 4


@pytest.mark.parametrize("most", ["0", "-1", "many"])
def test_a_bad_number_is_a_mistake(shell: Shell, most: str) -> None:
    with pytest.raises(SystemExit):
        main(["jobs", "list", f"--most={most}", "--store", str(shell.file)])


@pytest.mark.parametrize("cursor", ["nonsense", "9" * 30, "-5"])
def test_a_bad_cursor_is_a_mistake_in_one_line(shell: Shell, cursor: str) -> None:
    shell("events", f"--after={cursor}", status=2)
    (line,) = shell.said.err.splitlines()
    assert "--after" in line
    assert cursor in line


def test_events_begin_with_the_oldest_that_is_there(shell: Shell) -> None:
    async def prune() -> None:
        await shell.store.prune(ended_before=4e9)
        await shell.store.enqueue([new(9)])

    shell.do(prune)
    (line,) = shell("events").splitlines()
    assert "job-0009" in line
    shell("events", "--after", "0", status=2)
    assert "pruned" in shell.said.err
    shell("events", "--after", "now", status=1)


def test_a_store_in_memory_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list", "--store", "memory:"]) == 2
    assert "in memory" in capsys.readouterr().err


def test_a_folder_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list", "--store", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_events_are_printed(shell: Shell) -> None:
    lines = shell("events", "--job", "job-0001").splitlines()
    assert [line.split()[4] for line in lines] == ["enqueued", "started", "step", "dead"]
    events = [json.loads(line) for line in shell("events", "--json", "--most", "2").splitlines()]
    assert [event["kind"] for event in events] == ["enqueued", "enqueued"]
    shell("events", "--after", "999", status=1)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://me:hush@host/db",
        "sqlite:///nowhere/jobs.db",
        "sqlite://",
        "postgresql://me:hush@127.0.0.1:1/db",
        "postgresql://me:hush@[/db",
    ],
)
def test_a_store_that_is_not_there_is_a_mistake_in_one_line(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELIGHT_STORE", url)
    assert main(["jobs", "list"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "hush" not in said.err + said.out


def test_the_environment_names_the_store(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELIGHT_STORE", f"sqlite:///{shell.file}")
    assert main(["jobs", "list"]) == 0


def test_a_path_names_a_store_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELIGHT_STORE", str(shell.file))
    assert main(["jobs", "list"]) == 0


def test_a_terminal_gets_a_table(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "job-0001" in shell("list")


def test_a_narrow_terminal_leaves_ids_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys)
    queue = Queue(shell.store)

    @queue.job()
    async def draw_a_rather_large_picture(job: JobContext) -> None: ...

    ids: list[str] = []

    async def put() -> None:
        ids.append(await queue.enqueue(draw_a_rather_large_picture))

    shell.do(put)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert ids[0] in shell("list")


def test_what_a_terminal_would_obey_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(tmp_path, capsys)
    shell.do(partial(shell.store.enqueue, [new(1, kind="\x1b[2Jdraw")]))
    assert "\x1b" not in shell("list")


HALF = "\udcff"
"""What Python makes of a byte that is no text."""


@pytest.mark.parametrize(
    "command",
    [
        ["show", HALF],
        ["list", "--queue", HALF],
        ["list", "--after", HALF],
        ["events", "--after", HALF],
        ["retry", "job-0001", HALF],
        ["discard", "--user", HALF],
        ["pause", HALF],
        ["edit", "job-0001", "--args", HALF],
        ["show", "job-0001", "--app", "exiting_app:queue"],
        ["show", "job-0001", "--app", "..app:queue"],
        ["show", "job-0001", "--app", f"{HALF}:queue"],
    ],
)
def test_what_is_no_name_is_a_mistake_in_one_line(
    shell: Shell, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exiting_app.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]
    shell(*command, status=2)
    assert shell.said.err.count("\n") == 1


@pytest.mark.parametrize("command", [["list"], ["dead"], ["retry", "--all"], ["events"]])
def test_a_number_that_no_store_counts_to_is_a_mistake(shell: Shell, command: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["jobs", *command, "--most", "9" * 30, "--store", str(shell.file)])


def test_a_name_too_long_for_a_file_is_a_mistake_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list", "--store", "a" * 5000]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_mistake_in_the_application_is_said_in_one_line(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mistaken_app.py").write_text(
        "from relight.actors.jobs import JobBudget, MemoryStore, Queue\n"
        "queue = Queue(MemoryStore(), budget=JobBudget(per_job='1'))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]
    shell("show", "job-0001", "--app", "mistaken_app:queue", status=2)
    (line,) = shell.said.err.splitlines()
    assert "JobBudget.per_job must be a number, 0 or more US dollars, and finite, got '1'" in line
