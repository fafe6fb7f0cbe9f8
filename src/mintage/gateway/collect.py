"""From a stream of events to one whole answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from mintage.base import (
    Answer,
    AnswerStarted,
    AudioDelta,
    Choice,
    ChoiceFinished,
    Event,
    FinishReason,
    MintageError,
    Part,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
)


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _ChoiceState:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    signature: str = ""
    refusal: list[str] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def parts(self) -> tuple[Part, ...]:
        parts: list[Part] = []
        if self.reasoning:
            parts.append(Reasoning(text="".join(self.reasoning), signature=self.signature))
        if self.text:
            parts.append(Text("".join(self.text)))
        if self.refusal:
            parts.append(Refusal("".join(self.refusal)))
        parts += [
            ToolCall(id=call.id, name=call.name, arguments="".join(call.arguments))
            for _, call in sorted(self.calls.items())
        ]
        return tuple(parts)


class Collector:
    """Feed it every event in order, then ask for the answer."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._started = AnswerStarted(model=model)
        self._choices: dict[int, _ChoiceState] = {}
        self._usage = Usage()

    def add(self, event: Event) -> None:
        if isinstance(event, AnswerStarted):
            self._started = event
        elif isinstance(event, UsageReported):
            self._usage = event.usage
        else:
            self._add_to_choice(self._choices.setdefault(event.choice, _ChoiceState()), event)

    @staticmethod
    def _add_to_choice(choice: _ChoiceState, event: Event) -> None:
        if isinstance(event, TextDelta):
            choice.text.append(event.text)
            choice.logprobs += event.logprobs
        elif isinstance(event, ReasoningDelta):
            choice.reasoning.append(event.text)
            choice.signature = event.signature or choice.signature
        elif isinstance(event, RefusalDelta):
            choice.refusal.append(event.text)
        elif isinstance(event, ToolCallDelta):
            call = choice.calls.setdefault(event.index, _Call())
            call.id, call.name = event.id or call.id, event.name or call.name
            call.arguments.append(event.arguments)
        elif isinstance(event, ChoiceFinished):
            choice.finish_reason = event.reason
        elif isinstance(event, AudioDelta):
            raise MintageError("unsupported", "Audio answers are read as a stream.", "Set stream to true.")

    def answer(self) -> Answer:
        """Raises upstream_failed if a choice never finished: a cut answer is not a whole one."""
        if not self._choices or any(choice.finish_reason is None for choice in self._choices.values()):
            raise MintageError("upstream_failed", "The answer ended before it was finished.", "Try again.")
        return Answer(
            model=self._model,
            choices=tuple(
                Choice(parts=c.parts(), finish_reason=c.finish_reason or "stop", logprobs=tuple(c.logprobs))
                for _, c in sorted(self._choices.items())
            ),
            usage=self._usage,
            upstream_id=self._started.upstream_id,
            fingerprint=self._started.fingerprint,
        )
