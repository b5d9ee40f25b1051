"""The providers: one service actor for each.

    async with open_system() as system:
        openai = await system.spawn(Child("openai", OpenAI.from_env))
        question = ChatMessage("user", "What is an actor?")
        reply = await openai.ask(ChatCompletion(model="gpt-4o-mini", messages=(question,)))

Each holds what is particular to its provider: typed requests, one table of its errors, and the policy
recommended for it. When to retry, wait or stop is the supervisor's business.
"""

from ...runtime import claim
from ._anthropic import Anthropic
from ._anthropic_messages import CreateMessage, MessageChunk, MessageReply, StreamMessage
from ._catalogue import PROVIDERS
from ._chat import ChatMessage, ImagePart, TextPart
from ._openai import OpenAI
from ._openai_chat import ChatChunk, ChatCompletion, ChatReply, StreamChat
from ._openai_embeddings import CreateEmbeddings, EmbeddingsReply
from ._openai_images import CreateImages, ImagesReply, MadeImage
from ._openai_responses import CreateResponse, ResponseChunk, ResponseReply, StreamResponse
from ._polling import JobWatch, Polling
from ._runpod import RunPod
from ._runpod_messages import CancelJob, Job, JobResult, JobStatus, RunJob, SubmitJob
from ._tools import Tool, ToolCall, ToolCallDelta

__all__ = [
    "PROVIDERS",
    "Anthropic",
    "CancelJob",
    "ChatChunk",
    "ChatCompletion",
    "ChatMessage",
    "ChatReply",
    "CreateEmbeddings",
    "CreateImages",
    "CreateMessage",
    "CreateResponse",
    "EmbeddingsReply",
    "ImagePart",
    "ImagesReply",
    "Job",
    "JobResult",
    "JobStatus",
    "JobWatch",
    "MadeImage",
    "MessageChunk",
    "MessageReply",
    "OpenAI",
    "Polling",
    "ResponseChunk",
    "ResponseReply",
    "RunJob",
    "RunPod",
    "StreamChat",
    "StreamMessage",
    "StreamResponse",
    "SubmitJob",
    "TextPart",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
]

claim(globals())
