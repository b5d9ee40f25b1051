"""The providers that come with relight."""

from .._service import Service
from ._anthropic import Anthropic
from ._openai import OpenAI
from ._runpod import RunPod

PROVIDERS: tuple[type[Service], ...] = (Anthropic, OpenAI, RunPod)
"""Every ready-made service, by the name it goes by in settings: its ``provider``."""
