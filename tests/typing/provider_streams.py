"""What the streams of the providers yield. Only type checkers run this."""

from typing import assert_type

from relight.actors.providers import (
    ChatChunk,
    ChatCompletion,
    ChatReply,
    MessageChunk,
    MessageReply,
    ResponseChunk,
    StreamChat,
    StreamMessage,
    StreamResponse,
)
from relight.runtime import Ref


async def check(ref: Ref) -> None:
    async with ref.stream(StreamChat(model="m", messages=())) as chats:
        async for chat in chats:
            assert_type(chat, ChatChunk)
    async with ref.stream(StreamResponse(model="m", input="")) as responses:
        async for response in responses:
            assert_type(response, ResponseChunk)
    async with ref.stream(StreamMessage(model="m", messages=())) as messages:
        async for message in messages:
            assert_type(message, MessageChunk)
    assert_type(MessageReply.of(await ref.ask(StreamMessage(model="m", messages=()))), MessageReply)
    assert_type(await ref.ask(ChatCompletion(model="m", messages=())), ChatReply)
