"""An answer read while it is written, and one that breaks off. On a fake of OpenAI: no key, no network."""

from functools import partial

import relight
from relight import Child, Ref, StreamBrokenError
from relight.actors.providers import ChatMessage, ChatReply, OpenAI, StreamChat
from relight.fakes import FaultKind, Step, open_fakes


async def read(openai: Ref, question: str) -> None:
    message = StreamChat(model="gpt-4o-mini", messages=(ChatMessage("user", question),))
    try:
        async with openai.stream(message, timeout=60.0) as chunks:
            async for chunk in chunks:
                print(chunk.text, end="", flush=True)
                if chunk.usage is not None:
                    print(f" [{chunk.finish_reason}, {chunk.usage.output_tokens} tokens]")
    except StreamBrokenError as error:
        print(f"... [{error.kind}]")
        if isinstance(error.partial, ChatReply):
            usage = error.partial.usage
            print(f"kept {error.partial.text!r}, an estimate: {usage.is_estimate}")


async def main() -> None:
    async with open_fakes(["openai"]) as fakes, relight.open_system() as system:
        start = partial(OpenAI, fakes.key("openai"), base_url=f"{fakes.url('openai')}/v1")
        openai = await system.spawn(Child("openai", start))
        await fakes.script(
            "openai",
            [
                Step(fault=FaultKind.STREAM_RESET, after=0),
                Step(answer="It has a mailbox."),
                Step(fault=FaultKind.STREAM_ENDS, after=4),
            ],
        )
        await read(openai, "What is an actor?")
        await read(openai, "Tell me a story.")


relight.run(main)
