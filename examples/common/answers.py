"""What is wanted of a model's answer."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from relight import json_reply
from relight.actors import HasText

Sentence = Annotated[str, Meta(min_length=3)]


def list_of(count: int) -> Callable[[HasText], list[str]]:
    """Make a validation: the answer is a JSON list of so many strings.

    What it complains of is what the model is told, so it says what was wanted.
    """
    read = json_reply(list[Sentence])

    def validate(reply: HasText) -> list[str]:
        try:
            found = read(reply)
        except ValueError as error:
            raise ValueError(f"it is no JSON list of {count} strings: {error}") from error
        if len(found) != count:
            raise ValueError(f"it has {len(found)} strings, not a JSON list of {count} strings")
        return found

    return validate
