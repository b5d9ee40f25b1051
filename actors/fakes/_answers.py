"""What the models say: made of the prompt's own words, the same for the same prompt.

Two shapes serve a comic: whoever asks for "a JSON list of four ..." gets one, anyone else an outline
of a scene. Neither is clever; both are what the next call of a pipeline can be built on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from itertools import cycle, islice
from random import Random

import msgspec

_LIST = re.compile(r"\bJSON (?:list|array) (?:of|with) (?:exactly )?(\w+)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{4,}(?:['\u2019][^\W\d_]+)?")
_TOKEN = re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+\Z")
_SENTENCE = re.compile(r"[^.!?\n]*\w[^.!?\n]*")
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}
_MOST = 50

_SHOTS = ("Wide shot", "Close-up", "Low angle", "Over the shoulder", "Bird's-eye view", "Medium shot")
_LIGHTS = ("lamplight", "cold morning light", "hard noon sun", "moonlight", "the glow of a fire", "rain")
_STYLES = ("ink and wash", "heavy blacks", "loose pencil", "flat colours", "woodcut lines")
_MOODS = ("quiet", "tense", "hopeful", "uneasy", "wild", "tender")
_BEATS = ("Opening", "Turn", "Struggle", "Ending", "Echo")


def digest(text: str | bytes, size: int = 16) -> str:
    """Return *size* hexadecimal characters that stand for *text*."""
    data = text if isinstance(text, bytes) else text.encode()
    return blake2b(data, digest_size=32).hexdigest()[:size]


def count_tokens(text: str) -> int:
    """Count the tokens of *text*: here a word is one."""
    return len(text.split())


def pieces(text: str) -> list[str]:
    """Cut *text* into the tokens of a stream: each a word with the space before it."""
    return _TOKEN.findall(text)


def answer(prompt: str) -> str:
    """Answer *prompt*: a JSON list if it asks for one, else the outline of a scene."""
    rng = Random(digest(prompt))
    asked = _LIST.search(prompt)
    count = 0 if asked is None else _number(asked[1])
    return _panels(prompt, count, rng) if count else _outline(prompt, rng)


def _number(word: str) -> int:
    count = int(word) if word.isdecimal() else _NUMBERS.get(word.lower(), 0)
    return min(count, _MOST)


def _panels(prompt: str, count: int, rng: Random) -> str:
    words = _WORD.findall(_matter(prompt)) or ["panel"]
    share = max(3, len(words) // count)
    panels = [_panel(_slice(words, share * index), rng) for index in range(count)]
    return msgspec.json.encode(panels).decode()


def _panel(words: Sequence[str], rng: Random) -> str:
    return f"{rng.choice(_SHOTS)}: {' '.join(words)}, {rng.choice(_LIGHTS)}, {rng.choice(_STYLES)}"


def _slice(words: Sequence[str], start: int) -> list[str]:
    start %= len(words)
    return list(islice(cycle(words), start, start + min(12, len(words))))


def _outline(prompt: str, rng: Random) -> str:
    matter = _matter(prompt)
    words = _WORD.findall(matter) or ["Nothing"]
    names = [word for word in dict.fromkeys(words) if word[0].isupper()] or words
    lines = [
        f"Title: {' '.join(word.capitalize() for word in rng.sample(words, min(3, len(words))))}",
        f"Characters: {', '.join(names[:3])}",
        f"Mood: {rng.choice(_MOODS)}, {rng.choice(_LIGHTS)}",
    ]
    sentences = [match.strip() for match in _SENTENCE.findall(matter)] or ["Nothing happens"]
    for number, beat in enumerate(_BEATS[:4], start=1):
        sentence = sentences[(number - 1) * len(sentences) // 4]
        lines.append(f"{number}. {beat}: {' '.join(sentence.split()[:24])}.")
    return "\n".join(lines)


def _matter(prompt: str) -> str:
    """Return what *prompt* is about: without its first paragraph, the instruction, if more follow."""
    _, _, rest = prompt.strip().partition("\n")
    return rest if len(rest.split()) >= 5 else prompt
