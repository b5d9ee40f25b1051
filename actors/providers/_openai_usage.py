"""How OpenAI counts. Compatible servers leave out much of it."""

import msgspec

from .._usage import Usage


class InputDetails(msgspec.Struct):
    """What the input was made of."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(msgspec.Struct):
    """What the output was made of."""

    reasoning_tokens: int | None = None


class ChatUsage(msgspec.Struct):
    """Usage in the words of chat completions and embeddings."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None

    def normal(self) -> Usage:
        """Say it in ours."""
        details = self.prompt_tokens_details, self.completion_tokens_details
        return _usage(self.prompt_tokens, self.completion_tokens, *details)


class ResponseUsage(msgspec.Struct):
    """Usage in the words of the Responses API and of images."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None

    def normal(self) -> Usage:
        """Say it in ours."""
        details = self.input_tokens_details, self.output_tokens_details
        return _usage(self.input_tokens, self.output_tokens, *details)


def _usage(
    input_tokens: int | None,
    output_tokens: int | None,
    read: InputDetails | None,
    written: OutputDetails | None,
) -> Usage:
    read, written = read or InputDetails(), written or OutputDetails()
    return Usage(
        input_tokens=input_tokens or 0,
        output_tokens=output_tokens or 0,
        cached_tokens=read.cached_tokens or 0,
        cache_write_tokens=read.cache_write_tokens or 0,
        reasoning_tokens=written.reasoning_tokens or 0,
    )
