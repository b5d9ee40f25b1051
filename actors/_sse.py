"""Server-sent events: bytes in, events out. No I/O, no clock.

Written after the parsing rules of the HTML standard ("9.2.6 Interpreting an event stream"): a line
ends with LF, CR or CRLF, a line that begins with a colon is a comment, an empty line ends the event,
and one that the stream's end cuts off is dropped. The caller decides what a missing event means.
"""

import re

import msgspec

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")

MOST_EVENT_BYTES = 4 * 1024 * 1024
"""Some protocols repeat the whole answer in their last event: of the longest models, about a megabyte."""


class ServerSentEvent(msgspec.Struct, frozen=True):
    """Hold one event of a stream."""

    data: str
    """Its data lines, joined by newlines."""
    event: str = "message"
    """Its type."""
    id: str = ""
    """The last id that the stream gave, in this event or before."""


class OversizedEventError(ValueError):
    """An event is longer than the parser holds."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"an event of the stream is longer than {most_bytes} bytes")
        self.most_bytes = most_bytes


class EventParser:
    """Cut a stream of bytes into events. The bytes may come in pieces of any size.

    Args:
        most_bytes: An event that is longer, its comments and field names included, is refused.
    """

    def __init__(self, *, most_bytes: int = MOST_EVENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._is_first_line = True
        self._rest = bytearray()
        """What came of a line that has not ended yet."""
        self._searched = 0
        """So much of it holds no line end, so a long line that comes in pieces is searched once."""
        self._after_return = False
        """The last line ended with a CR: an LF that comes next belongs to it."""
        self._size = 0
        """Bytes in the whole lines of the event at hand."""
        self._data: list[str] = []
        self._type = ""
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and return the events that they complete.

        Raises:
            OversizedEventError: An event is too long. The parser is of no use afterwards.
        """
        if self._after_return and chunk:
            # Not waited for when the CR came: an event must not be held back until the next one.
            self._after_return = False
            chunk = chunk.removeprefix(b"\n")
        text = self._rest
        text += chunk
        events: list[ServerSentEvent] = []
        begin = 0
        for end in _LINE_END.finditer(text, self._searched):
            self._take(bytes(text[begin : end.start()]), events)
            begin = end.end()
        self._after_return = self._after_return or (0 < begin == len(text) and text.endswith(b"\r"))
        del text[:begin]
        self._searched = len(text)
        self._check(len(text))
        return events

    def _take(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        if line:
            self._size += len(line)
            self._check(0)
            self._field(line.decode("utf-8", "replace"))
            return
        if self._data:
            events.append(ServerSentEvent("\n".join(self._data), self._type or "message", self._id))
        self._data, self._type, self._size = [], "", 0

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _check(self, pending: int) -> None:
        if self._size + pending > self._most_bytes:
            raise OversizedEventError(self._most_bytes)
