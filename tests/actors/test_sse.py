"""Server-sent events: wherever the bytes are cut, the events are those of a naive reading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors._sse import EventParser, OversizedEventError, ServerSentEvent


def parse(*chunks: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def lines_of(stream: str) -> list[str]:
    """Cut a whole stream into its finished lines, character by character."""
    lines, line, before = list[str](), "", ""
    for character in stream:
        if character == "\n" and before == "\r":
            pass
        elif character in "\r\n":
            lines.append(line)
            line = ""
        else:
            line += character
        before = character
    return lines


def model(stream: str) -> list[ServerSentEvent]:
    """Read a whole stream, as the standard words it."""
    events = list[ServerSentEvent]()
    data, kind, last_id = "", "", ""
    for line in lines_of(stream.removeprefix("\ufeff")):
        name, value = line.split(":", 1) if ":" in line else (line, "")
        value = value.removeprefix(" ")
        match name:
            case "" if line == "":
                if data:
                    events.append(ServerSentEvent(data[:-1], kind or "message", last_id))
                data, kind = "", ""
            case "data":
                data += value + "\n"
            case "event":
                kind = value
            case "id":
                last_id = last_id if "\0" in value else value
            case _:
                pass
    return events


LINES = st.one_of(
    st.sampled_from(
        ["", ":", ": ping", "data", "data:", "data: ", "data:  two", "event: error", "id: 7", "id"]
    ),
    st.sampled_from(["retry: 10", "datax: 1", " data: 1", "\ufeffdata: 1", "data: a:b", "id: \0"]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8),
    st.text(max_size=5)
    .map(lambda text: "data: " + text.replace("\r", "").replace("\n", ""))
    .filter(lambda line: line.isprintable()),
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=20).map(
    lambda lines: "".join(line + end for line, end in lines)
)


@given(st.sampled_from(["", "\ufeff"]), STREAMS, st.text("data: x", max_size=4), st.data())
def test_events_are_found_wherever_the_bytes_are_cut(
    bom: str, stream: str, rest: str, data: st.DataObject
) -> None:
    raw = (bom + stream + rest).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=10)))
    pieces = [raw[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert parse(*pieces) == model(bom + stream + rest)


@given(STREAMS)
def test_events_are_found_when_every_byte_comes_alone(stream: str) -> None:
    raw = stream.encode()
    assert parse(*(raw[at : at + 1] for at in range(len(raw)))) == model(stream)


@given(st.binary(max_size=200))
def test_no_bytes_raise(raw: bytes) -> None:
    parse(raw)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r"])
def test_an_event_is_not_held_back_until_the_next_one(end: bytes) -> None:
    assert parse(b"data: 1" + end) == [ServerSentEvent("1")]


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parse(b"data: \xff\n\n") == [ServerSentEvent("\ufffd")]


def test_a_character_may_be_cut_in_two() -> None:
    assert parse(b"data: \xc3", b"\xa4\n\n") == [ServerSentEvent("ä")]


def test_an_event_that_the_end_cuts_off_is_dropped() -> None:
    assert parse(b"data: 1\n") == []


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 95],
        [b"x" * 60, b"x" * 60],
        [b"data: " + b"x" * 50 + b"\n"] * 2,
        [b": " + b"x" * 40 + b"\n"] * 3,
    ],
    ids=["a line", "a line in pieces", "lines of data", "comments"],
)
def test_an_event_without_an_end_is_refused(chunks: list[bytes]) -> None:
    parser = EventParser(most_bytes=100)
    for chunk in chunks[:-1]:
        parser.feed(chunk)
    with pytest.raises(OversizedEventError, match="100 bytes"):
        parser.feed(chunks[-1])


def test_an_event_of_just_the_limit_is_taken_again_and_again() -> None:
    parser = EventParser(most_bytes=100)
    event = b"data: " + b"x" * 94 + b"\n\n"
    assert [len(found.data) for _ in range(3) for found in parser.feed(event)] == [94, 94, 94]


def test_comments_between_events_are_not_counted_against_the_next_one() -> None:
    parser = EventParser(most_bytes=20)
    for _ in range(100):
        assert parser.feed(b": ping\n\n") == []
