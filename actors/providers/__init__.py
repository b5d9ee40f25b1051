"""The providers: one service actor for each.

    async with open_system() as system:
        openai = await system.spawn(Child("openai", OpenAI.from_env))
        question = ChatMessage("user", "What is an actor?")
        reply = await openai.ask(ChatCompletion(model="gpt-4o-mini", messages=(question,)))

Each holds what is particular to its provider: typed requests, one table of its errors, and the policy
recommended for it. When to retry, wait or stop is the supervisor's business.
"""

from ...runtime import claim
from ._adaptations import (
    anthropic_as_chat,
    anthropic_stream_as_chat,
    chat_as_anthropic,
    chat_stream_as_anthropic,
)
from ._anthropic import Anthropic
from ._anthropic_messages import CreateMessage, MessageChunk, MessageReply, StreamMessage
from ._catalogue import PROVIDERS
from ._chat import ChatMessage, ImagePart, TextPart
from ._elevenlabs import ElevenLabs
from ._elevenlabs_messages import ListVoices, Speak, Speech, SpeechChunk, StreamSpeech, Voice
from ._openai import OpenAI
from ._openai_chat import ChatChunk, ChatCompletion, ChatReply, StreamChat
from ._openai_embeddings import CreateEmbeddings, EmbeddingsReply
from ._openai_images import CreateImages, ImagesReply, MadeImage
from ._openai_responses import CreateResponse, ResponseChunk, ResponseReply, StreamResponse
from ._polling import JobWatch, Polling
from ._runpod import RunPod
from ._runpod_messages import (
    CancelJob,
    CheckEndpoint,
    EndpointHealth,
    Job,
    JobResult,
    JobStatus,
    RetryJob,
    RunJob,
    SubmitJob,
)
from ._supabase import Supabase
from ._supabase_filters import Filter
from ._supabase_messages import (
    CallFunction,
    DeleteRows,
    FunctionResult,
    InsertRows,
    Rows,
    SelectRows,
    UpdateRows,
    UpsertRows,
)
from ._supabase_storage import SupabaseStorage
from ._supabase_storage_messages import (
    DownloadFile,
    FileContent,
    FileEntry,
    ListFiles,
    RemoveFiles,
    SignFile,
    UploadFile,
)
from ._tools import Tool, ToolCall, ToolCallDelta

__all__ = [
    "PROVIDERS",
    "Anthropic",
    "CallFunction",
    "CancelJob",
    "ChatChunk",
    "ChatCompletion",
    "ChatMessage",
    "ChatReply",
    "CheckEndpoint",
    "CreateEmbeddings",
    "CreateImages",
    "CreateMessage",
    "CreateResponse",
    "DeleteRows",
    "DownloadFile",
    "ElevenLabs",
    "EmbeddingsReply",
    "EndpointHealth",
    "FileContent",
    "FileEntry",
    "Filter",
    "FunctionResult",
    "ImagePart",
    "ImagesReply",
    "InsertRows",
    "Job",
    "JobResult",
    "JobStatus",
    "JobWatch",
    "ListFiles",
    "ListVoices",
    "MadeImage",
    "MessageChunk",
    "MessageReply",
    "OpenAI",
    "Polling",
    "RemoveFiles",
    "ResponseChunk",
    "ResponseReply",
    "RetryJob",
    "Rows",
    "RunJob",
    "RunPod",
    "SelectRows",
    "SignFile",
    "Speak",
    "Speech",
    "SpeechChunk",
    "StreamChat",
    "StreamMessage",
    "StreamResponse",
    "StreamSpeech",
    "SubmitJob",
    "Supabase",
    "SupabaseStorage",
    "TextPart",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "UpdateRows",
    "UploadFile",
    "UpsertRows",
    "Voice",
    "anthropic_as_chat",
    "anthropic_stream_as_chat",
    "chat_as_anthropic",
    "chat_stream_as_anthropic",
]

claim(globals())
