"""The canonical request: what every dialect is decoded into and every engine reads.

Rich enough to lose nothing that two protocols can both carry: tools, images, audio, JSON schema, reasoning,
log-probabilities, several choices.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
Operation = Literal["chat", "completion", "embedding", "speech", "transcription", "moderation", "image"]


class Text(msgspec.Struct, frozen=True, tag="text"):
    text: str


class Image(msgspec.Struct, frozen=True, tag="image", kw_only=True):
    """Exactly one of url and data is set."""

    url: str | None = None
    data: bytes | None = None
    media_type: str = ""
    detail: Literal["auto", "low", "high", "original"] = "auto"


class Audio(msgspec.Struct, frozen=True, tag="audio", kw_only=True):
    data: bytes
    format: str


class Document(msgspec.Struct, frozen=True, tag="document", kw_only=True):
    """A file given as context: exactly one of its bytes, the id of one stored earlier, and its web address."""

    data: bytes | None = None
    file_id: str | None = None
    url: str | None = None
    media_type: str = ""
    name: str = ""


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call", kw_only=True):
    """arguments is the JSON text exactly as the model wrote it, valid or not.

    signature: what the provider wants back unchanged with the call (Google's thoughtSignature).
    """

    id: str
    name: str
    arguments: str
    signature: str = ""


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result", kw_only=True):
    """content is the result's text. parts: all of it, in order, where it is more than one text."""

    call_id: str
    content: str
    is_error: bool = False
    parts: tuple[Text | Image | Document, ...] = ()


class Reasoning(msgspec.Struct, frozen=True, tag="reasoning", kw_only=True):
    """Reasoning text, with the provider's signature when it must be sent back unchanged.

    redacted: the provider shows no text; signature is the sealed reasoning itself.
    """

    text: str
    signature: str = ""
    redacted: bool = False


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    text: str


Part = Text | Image | Audio | Document | ToolCall | ToolResult | Reasoning | Refusal


class Message(msgspec.Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may call; parameters is a JSON Schema object."""

    name: str
    description: str = ""
    parameters: dict[str, object] = msgspec.field(default_factory=dict)
    strict: bool | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    mode: Literal["auto", "none", "required", "function"] = "auto"
    name: str | None = None  # with mode "function"


class OutputFormat(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str = ""
    description: str = ""  # what the schema is for, told to the model
    schema: dict[str, object] | None = None
    strict: bool | None = None


class Speech(msgspec.Struct, frozen=True, kw_only=True):
    """How operation "speech" says prompts[0]. instructions: the tone, for models that take one."""

    voice: str
    format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = 1.0
    instructions: str = ""


class Transcription(msgspec.Struct, frozen=True, kw_only=True):
    """How operation "transcription" writes down `audio`. language: ISO 639-1, "" lets the engine find out."""

    audio: Audio
    language: str = ""
    prompt: str = ""
    translate: bool = False  # into English
    word_times: bool = False


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """None means: the engine's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str, float] | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as asked, without identity: who asks is the gateway's business."""

    operation: Operation
    model: str
    messages: tuple[Message, ...] = ()
    #: "completion": one answer per prompt and n; "embedding" and "moderation": one vector or verdict per text;
    #: "speech": the one text to say.
    prompts: tuple[str, ...] = ()
    suffix: str | None = None
    echo: bool = False
    sampling: Sampling = Sampling()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool | None = None
    output: OutputFormat = OutputFormat()
    reasoning_effort: str | None = None
    reasoning_budget_tokens: int | None = None  # how much it may think; 0 is not at all, -1 as much as it thinks fit
    reasoning_shown: bool | None = None  # whether the answer tells the reasoning; None is the dialect's default
    max_output_tokens: int | None = None  # reasoning included
    n: int = 1
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    top_logprobs: int = 0
    stream: bool = False
    include_usage: bool = False  # the client wants a usage event in its stream
    end_user: str | None = None
    cache_scope: str = ""  # whose earlier prompts an engine may use again: the tenant; "" means nobody's
    dimensions: int | None = None  # of an embedding; None is the model's own
    purpose: str = ""  # of an embedding: "query", "document" or ""
    speech: Speech | None = None
    transcription: Transcription | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
