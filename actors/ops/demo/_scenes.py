"""Cut a text into scenes, one for each comic.

A long text is cut into as many parts as there are comics. A short one is cut into parts of at least
a few sentences, and neighbouring comics share a part, each told from another angle. The cuts are at
even distances, each moved to the best place nearby: a scene break before a paragraph's end, that
before a sentence's end, that before a space, and a space before the middle of a word.

The same text and the same number give the same scenes, and no word is lost.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

import msgspec

SCENE_CHARACTERS: Final = 240
"""About forty words: less gives four panels nothing to show."""

ANGLES: Final = (
    "from the first panel on",
    "from the second panel on: the first is already over",
    "through the eyes of whoever speaks least",
    "backwards, from its last moment to its first",
    "from far above",
    "in close-ups only",
    "as somebody remembers it years later",
    "without a word spoken",
)
"""What sets the comics apart that share one scene."""

_BREAK = re.compile(r"[\s*#~_=.·•⁂\-–—]+")  # noqa: RUF001 - the dashes people type
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*\s|[。！？][」』”’]?")  # noqa: RUF001 - as printed
_PARAGRAPH_END = re.compile(r"\n\n")

# How far, as a share of a part's length, a cut may move for a better kind of place.
_REACH: Final = 0.4
_SCENE, _PARAGRAPH, _SENTENCE, _SPACE = 0.0, 0.2, 0.4, 0.8


class Scene(msgspec.Struct, frozen=True):
    """What one comic is drawn from."""

    number: int
    """From 1, in the order of the text."""
    text: str
    """A part of the text, never empty."""
    angle: str
    """How to tell it."""

    def excerpt(self, characters: int = 2_000) -> str:
        """Return as much of the text as four panels need, cut at a space."""
        if len(self.text) <= characters:
            return self.text
        return self.text[:characters].rsplit(" ", 1)[0] + " …"


def cut_scenes(text: str, count: int) -> list[Scene]:
    """Cut *text* into exactly *count* scenes.

    Args:
        text: Any text with at least one word in it.
        count: How many, at least 1.
    """
    parts = cut_text(text, count)
    shares = [number * len(parts) // count for number in range(count)]
    first = {share: number for number, share in reversed(list(enumerate(shares)))}
    return [
        Scene(number + 1, parts[share], ANGLES[(number - first[share]) % len(ANGLES)])
        for number, share in enumerate(shares)
    ]


def cut_text(text: str, most: int) -> list[str]:
    """Cut *text* into at most *most* parts of about the same length; every word is in one of them."""
    flow, breaks = _flow(text)
    count = max(1, min(most, len(flow) // SCENE_CHARACTERS))
    ends = [*_cuts(flow, breaks, count), len(flow)]
    return [flow[start:end].strip() for start, end in zip([0, *ends], ends, strict=False)]


def _flow(text: str) -> tuple[str, list[int]]:
    """Join the paragraphs, blank runs made single, and return where the scene breaks were."""
    paragraphs: list[str] = []
    breaks: list[int] = []
    length = 0
    for lines in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        paragraph = " ".join(lines.split())
        if paragraph and not _BREAK.fullmatch(paragraph):
            paragraphs.append(paragraph)
            length += len(paragraph) + 2
        elif paragraph and length:
            breaks.append(length)
    return "\n\n".join(paragraphs), breaks


def _cuts(flow: str, breaks: list[int], count: int) -> Iterator[int]:
    places = [
        (_SCENE, breaks),
        (_PARAGRAPH, [match.end() for match in _PARAGRAPH_END.finditer(flow)]),
        (_SENTENCE, [match.end() for match in _SENTENCE_END.finditer(flow)]),
    ]
    share = len(flow) / count
    # Neighbouring windows don't meet (0.4 + 0.4 < 1), so cuts rise and no part is empty.
    for number in range(1, count):
        yield _cut_near(flow, number * share, share * _REACH, places)


def _cut_near(flow: str, middle: float, reach: float, places: list[tuple[float, list[int]]]) -> int:
    found = [
        (abs(place - middle) / reach + handicap, place)
        for handicap, candidates in places
        for place in _nearest(candidates, middle)
        if abs(place - middle) < reach
    ]
    low, high = int(middle - reach) + 1, int(middle + reach)
    spaces = flow.rfind(" ", low, int(middle)), flow.find(" ", int(middle), high)
    found += [(abs(space - middle) / reach + _SPACE, space) for space in spaces if space >= 0]
    return min(found)[1] if found else int(middle)


def _nearest(places: list[int], middle: float) -> list[int]:
    index = bisect_left(places, middle)
    return places[max(0, index - 1) : index + 1]
