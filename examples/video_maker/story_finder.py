"""The story finder reads a text and says what story is in it."""

from __future__ import annotations

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors import HasText
from relight.actors.providers import ChatMessage, CreateMessage

MODEL = "claude-haiku-4-5"


class Story(msgspec.Struct, frozen=True):
    """A story, in outline."""

    title: str
    outline: str


class FindStory(Request[Story], frozen=True):
    """Find the story in a text."""

    text: str


def story_in(reply: HasText) -> Story:
    """Take an outline apart: it has to begin with its title."""
    first, _, rest = reply.text.strip().partition("\n")
    label, _, title = first.partition(":")
    if label.strip() != "Title" or not title.strip() or not rest.strip():
        raise ValueError("the first line must be 'Title: ...', and the outline must follow")
    return Story(title.strip(), rest.strip())


class StoryFinder(Agent):
    """Ask Anthropic for the story."""

    def __init__(self, model: Ref | str = "services/anthropic") -> None:
        self.model = model

    @handles
    async def find(self, message: FindStory) -> Story:
        question = (
            "Outline the story in this text for a short video. The first line is 'Title: ...'.\n\n"
            f"{message.text}"
        )
        found = await self.ask_validated(
            self.model,
            CreateMessage(model=MODEL, messages=(ChatMessage("user", question),)),
            validate=story_in,
        )
        return found.value
