"""Which column of a known export is what. Names are tried in order, without regard to case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """fields: ours -> names of theirs. required: what must be there. cached_within: prompt tokens include cached ones.

    relative: times count from the trace's own start. blocks: a column of hash ids of so many tokens each, from which
    cached tokens follow. customer: the name where the export has none.
    """

    name: str
    fields: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...] = ("at", "input_tokens", "output_tokens")
    cached_within: bool = True
    relative: bool = False
    time_unit: TimeUnit = "auto"
    blocks: tuple[str, int] | None = None
    customer: str = ""
    source: str = ""


_COMMON: Final[Mapping[str, tuple[str, ...]]] = {
    "at": ("at", "at_ns", "timestamp", "occurred", "start_time", "starttime", "created_at", "time", "arrival_time"),
    "customer": ("customer", "tenant_id", "tenant", "client_id", "team_id", "account", "user_id", "user", "api_key"),
    "id": ("id", "request_id", "event_id", "call_id"),
    "kind": ("kind",),
    "model": ("model", "model_name", "model_group"),
    "input_tokens": ("input_tokens", "prompt_tokens", "contexttokens", "input_length", "context_tokens"),
    "cached_read_tokens": ("cached_read_tokens", "cached_tokens", "input_cached_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens", "generatedtokens", "output_length", "generated_tokens"),
    "reasoning_tokens": ("reasoning_tokens", "reason_tokens"),
    "requests": ("requests", "num_model_requests"),
    "class": ("class", "service_tier"),
    "region": ("region",),
    "end_user": ("end_user",),
}

PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset
    for preset in (
        Preset(name="generic", fields=_COMMON),
        Preset(
            name="mintage",
            fields=_COMMON,
            cached_within=False,
            source="our own lake: input_tokens are uncached already",
        ),
        Preset(
            name="azure-llm",
            fields={"at": ("timestamp",), "input_tokens": ("contexttokens",), "output_tokens": ("generatedtokens",)},
            customer="azure",
            source="github.com/Azure/AzurePublicDataset, LLM inference traces of 2023 and 2024",
        ),
        Preset(
            name="mooncake",
            fields={"at": ("timestamp",), "input_tokens": ("input_length",), "output_tokens": ("output_length",)},
            relative=True,
            time_unit="ms",
            blocks=("hash_ids", 512),
            customer="mooncake",
            source="github.com/kvcache-ai/Mooncake, traces of FAST 2025",
        ),
        Preset(
            name="servegen",
            fields={**_COMMON, "customer": ("client_id", "client", "customer")},
            relative=True,
            time_unit="s",
            customer="servegen",
            source="github.com/alibaba/ServeGen, requests with their client",
        ),
        Preset(
            name="litellm",
            fields={
                **_COMMON,
                "at": ("starttime", "start_time"),
                "customer": ("team_id", "user", "end_user", "api_key"),
                "id": ("request_id",),
            },
            source="LiteLLM_SpendLogs",
        ),
        Preset(
            name="openai-usage",
            fields={
                **_COMMON,
                "at": ("start_time", "start_time_iso"),
                "customer": ("project_id", "project_name", "user_id", "api_key_id"),
            },
            customer="openai",
            source="OpenAI's usage export of completions",
        ),
    )
}
