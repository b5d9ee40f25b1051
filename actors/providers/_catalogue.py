"""The providers that come with relight."""

from .._service import Service
from ._anthropic import Anthropic
from ._elevenlabs import ElevenLabs
from ._openai import OpenAI
from ._runpod import RunPod
from ._supabase import Supabase
from ._supabase_storage import SupabaseStorage

PROVIDERS: tuple[type[Service], ...] = (
    Anthropic,
    ElevenLabs,
    OpenAI,
    RunPod,
    Supabase,
    SupabaseStorage,
)
"""Every ready-made service, by the name it goes by in settings: its ``provider``."""
