"""What the models are told, and how their answers are read."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final, cast

import msgspec

from ._scenes import Scene

PANELS: Final = 4
"""Pictures in a comic."""


def outline_prompt(scene: Scene) -> str:
    """Ask for the outline of a comic."""
    return (
        f"Outline a comic of four panels from this scene of a story, told {scene.angle}.\n\n"
        f"{scene.excerpt()}\n"
    )


def panels_prompt(outline: str) -> str:
    """Ask for what the four pictures show."""
    return (
        "Answer with a JSON list of four strings and nothing else: for each panel of this outline, what "
        f"the painter shall paint, in one sentence.\n\n{outline}\n"
    )


def read_panels(answer: str) -> list[str]:
    """Find the four descriptions in a model's answer, also where it wrapped them in other words.

    Raises:
        ValueError: They are not there. Asking again may help: models vary.
    """
    text = answer[answer.find("[") : answer.rfind("]") + 1]
    try:
        panels = msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        panels = []
    if len(panels) != PANELS or not all(panel.strip() for panel in panels):
        raise ValueError(f"the answer is no list of {PANELS} panels: {answer[:60]!r}")
    return panels


def read_image(output: object) -> bytes:
    """Find the picture in what a painter's worker returned: ``{"images": ["<base64>"]}``.

    Raises:
        ValueError: There is none.
    """
    images = cast("dict[str, object]", output).get("images") if isinstance(output, dict) else None
    first = cast("list[object]", images)[0] if isinstance(images, list) and images else None
    if not isinstance(first, str):
        raise ValueError("the painter's answer holds no picture")
    try:
        # Some workers send a data URL.
        return b64decode(first.rpartition(",")[2], validate=True)
    except binascii.Error as error:
        raise ValueError(f"the painter's picture is unreadable: {error}") from error
