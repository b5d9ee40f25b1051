"""Embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ...runtime import Request
from ...supervisors import FailureKind
from .._http import HttpService
from .._usage import Usage
from ._openai_usage import ChatUsage

Vector = tuple[float, ...]


class EmbeddingsReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a vector for each text, in the texts' order."""

    model: str
    vectors: tuple[Vector, ...]
    usage: Usage


class CreateEmbeddings(Request[EmbeddingsReply], frozen=True, kw_only=True):
    """Turn texts into vectors."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    """Length of the vectors, where the model lets one choose."""
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""


def embeddings_payload(message: CreateEmbeddings) -> dict[str, object]:
    """Write the body of a request."""
    fields: dict[str, object] = {"model": message.model, "input": message.texts, "encoding_format": "float"}
    if message.dimensions is not None:
        fields["dimensions"] = message.dimensions
    return fields | dict(message.extra)


class _Embedding(msgspec.Struct):
    embedding: Vector
    index: int = 0


class WireEmbeddings(msgspec.Struct):
    """The vectors as OpenAI sends them."""

    data: list[_Embedding]
    model: str = ""
    usage: ChatUsage | None = None

    def read(self, service: HttpService, message: CreateEmbeddings) -> EmbeddingsReply:
        """Put them into the texts' order.

        Raises:
            ProviderError: There is not one for each text.
        """
        by_index = {item.index: item.embedding for item in self.data}
        if sorted(by_index) != list(range(len(message.texts))) or len(self.data) != len(by_index):
            detail = f"{len(self.data)} vectors came for {len(message.texts)} texts"
            raise service.failure(FailureKind.INVALID_RESPONSE, detail)
        return EmbeddingsReply(
            model=self.model or message.model,
            vectors=tuple(by_index[index] for index in range(len(message.texts))),
            usage=self.usage.normal() if self.usage else Usage(),
        )
