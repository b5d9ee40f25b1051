"""The services, pointed at the fakes. For the real ones: ``Child("openai", OpenAI.from_env)`` and so on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from relight import Actor, Child, Supervisor
from relight.actors import DEFAULT_PRICES, Price
from relight.actors.providers import (
    Anthropic,
    ElevenLabs,
    OpenAI,
    Polling,
    RunPod,
    Supabase,
    SupabaseStorage,
)
from relight.fakes import FakeOptions, Fakes

PROVIDERS = ("openai", "anthropic", "runpod", "elevenlabs", "supabase")
OPTIONS = FakeOptions(tables={"pages": ("comic", "number"), "videos": ("id",)}, cold_start_seconds=0.5)
PRICES = DEFAULT_PRICES.with_prices({"gpt-image-1-mini": Price(image=0.011)})


def service_tree(fakes: Fakes, *names: str) -> Supervisor:
    """Describe the services of these names, each with a supervisor of its own."""
    every = _starts(fakes)
    return Supervisor("services", children=[Child(name, every[name], shutdown=2.0) for name in names])


def _starts(fakes: Fakes) -> Mapping[str, Callable[[], Actor]]:
    key, url = fakes.key, fakes.url
    return {
        "openai": partial(OpenAI, key("openai"), base_url=f"{url('openai')}/v1", prices=PRICES),
        "anthropic": partial(Anthropic, key("anthropic"), base_url=url("anthropic")),
        "elevenlabs": partial(ElevenLabs, key("elevenlabs"), base_url=url("elevenlabs")),
        "database": partial(Supabase, url("supabase"), key("supabase")),
        "storage": partial(SupabaseStorage, url("supabase"), key("supabase")),
        "runpod": partial(
            RunPod,
            "studio",
            key("runpod"),
            base_url=f"{url('runpod')}/v2",
            polling=Polling(initial=0.06, factor=1.3, cap=0.4),
            usd_per_second=0.00034,
        ),
    }
