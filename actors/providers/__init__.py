"""The providers: one service actor for each.

    async with open_system() as system:
        openai = await system.spawn(Child("openai", OpenAI.from_env))
        question = ChatMessage("user", "What is an actor?")
        reply = await openai.ask(ChatCompletion(model="gpt-4o-mini", messages=(question,)))

Each holds what is particular to its provider: typed requests, one table of its errors, and the policy
recommended for it. When to retry, wait or stop is the supervisor's business.
"""

from ...runtime import claim
from ._adaptations import anthropic_as_chat, chat_as_anthropic
from ._anthropic import Anthropic, CreateMessage, MessageReply
from ._catalogue import PROVIDERS
from ._chat import ChatMessage
from ._openai import ChatCompletion, ChatReply, OpenAI
from ._polling import JobWatch, Polling
from ._runpod import RunPod
from ._runpod_messages import CancelJob, Job, JobResult, JobStatus, RunJob, SubmitJob

__all__ = [
    "PROVIDERS",
    "Anthropic",
    "CancelJob",
    "ChatCompletion",
    "ChatMessage",
    "ChatReply",
    "CreateMessage",
    "Job",
    "JobResult",
    "JobStatus",
    "JobWatch",
    "MessageReply",
    "OpenAI",
    "Polling",
    "RunJob",
    "RunPod",
    "SubmitJob",
    "anthropic_as_chat",
    "chat_as_anthropic",
]

claim(globals())
