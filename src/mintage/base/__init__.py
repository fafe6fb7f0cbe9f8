"""The nouns: money, usage, requests, answers, holds, charges, ids, time, settings, errors.

In: nothing of ours. Out: immutable data types that every other room speaks. No I/O but reading settings.
Start with request.py and answer.py (what flows), then deal.py (what it is worth).
"""

from mintage.base.answer import (
    Answer,
    AnswerStarted,
    AudioDelta,
    Choice,
    ChoiceFinished,
    Event,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from mintage.base.clock import Clock, ManualClock, SystemClock
from mintage.base.deal import Charge, Cost, Hold, Outcome, RatedLine, Receipt, Settlement
from mintage.base.errors import STATUS_BY_CODE, MintageError
from mintage.base.ids import new_id
from mintage.base.money import (
    ATTOS_PER_NANO,
    ATTOS_PER_UNIT,
    NANOS_MAX,
    NANOS_PER_UNIT,
    Money,
    check_currency,
    check_nanos,
    currency_exponent,
    parse_decimal,
    rate_attos,
)
from mintage.base.request import (
    Audio,
    Document,
    Image,
    Message,
    Operation,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Request,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from mintage.base.settings import Settings, load_settings
from mintage.base.usage import METERS, Usage

__all__ = [
    "ATTOS_PER_NANO", "ATTOS_PER_UNIT", "METERS", "NANOS_MAX", "NANOS_PER_UNIT", "STATUS_BY_CODE",
    "Answer", "AnswerStarted", "Audio", "AudioDelta", "Charge", "Choice", "ChoiceFinished", "Clock", "Cost",
    "Document", "Event", "FinishReason", "Hold", "Image", "ManualClock", "Message", "MintageError", "Money",
    "Operation", "Outcome", "OutputFormat", "Part", "RatedLine", "Reasoning", "ReasoningDelta", "Receipt", "Refusal",
    "RefusalDelta", "Request", "Role", "Sampling", "Settings", "Settlement", "SystemClock", "Text", "TextDelta",
    "TokenLogprob", "Tool", "ToolCall", "ToolCallDelta", "ToolChoice", "ToolResult", "Usage", "UsageReported",
    "check_currency", "check_nanos", "currency_exponent", "load_settings", "new_id", "parse_decimal", "rate_attos",
]
