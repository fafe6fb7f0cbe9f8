"""Requests, answers and event streams that the OpenAI dialect can carry without loss."""

from __future__ import annotations

from hypothesis import strategies as st

from mintage.base import (
    Answer,
    AnswerStarted,
    Audio,
    Choice,
    ChoiceFinished,
    Document,
    Event,
    Image,
    Message,
    OutputFormat,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Request,
    Sampling,
    Text,
    TextDelta,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
    Usage,
    UsageReported,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
some_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
speakers = st.none() | st.from_regex(r"[a-zA-Z0-9_.-]{1,64}", fullmatch=True)
blobs = st.binary(min_size=1, max_size=40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(text, json_values, max_size=4)

images = st.builds(
    Image,
    url=st.sampled_from(["https://a.example/x.png", "http://b.example/"]),
    detail=st.sampled_from(["auto", "low"]),
) | st.builds(Image, data=blobs, media_type=st.sampled_from(["image/png", "image/webp"]), detail=st.just("original"))
audio = st.builds(Audio, data=blobs, format=st.sampled_from(["wav", "mp3"]))
documents = st.builds(
    Document, data=blobs, media_type=st.sampled_from(["", "application/pdf"]), name=st.sampled_from(["", "a.pdf"])
) | st.builds(Document, file_id=names, name=st.just(""))


def _content(*others: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.one_of(st.builds(Text, text), *others), min_size=1, max_size=3).map(tuple)


_system = st.builds(Message, st.just("system"), _content(), speakers)
_user = st.builds(Message, st.just("user"), _content(images, audio, documents), speakers)


@st.composite
def _assistant_turn(draw: st.DrawFn) -> list[Message]:
    """An assistant's message, and the results of the calls it made."""
    calls = draw(
        st.lists(st.builds(ToolCall, id=names, name=names, arguments=text), max_size=2, unique_by=lambda c: c.id)
    )
    said = draw(st.lists(st.builds(Text, some_text) | st.builds(Refusal, some_text), min_size=not calls, max_size=2))
    reasoning = draw(st.lists(st.builds(Reasoning, text=some_text), max_size=1))
    results = [Message("tool", (ToolResult(call_id=call.id, content=draw(text)),)) for call in calls]
    return [Message("assistant", (*reasoning, *said, *calls), draw(speakers)), *results]


conversations = st.lists(
    st.one_of(_system.map(lambda m: [m]), _user.map(lambda m: [m]), _assistant_turn()), min_size=1, max_size=4
).map(lambda turns: tuple(message for turn in turns for message in turn))

tools = st.builds(Tool, name=names, description=text, parameters=json_objects, strict=st.none() | st.booleans())
outputs = st.one_of(
    st.just(OutputFormat()),
    st.just(OutputFormat(kind="json_object")),
    st.builds(
        OutputFormat,
        kind=st.just("json_schema"),
        name=names,
        description=text,
        schema=st.none() | json_objects,
        strict=st.none() | st.booleans(),
    ),
)


def _between(low: float, high: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.floats(low, high)


samplings = st.builds(
    Sampling,
    temperature=_between(0, 2),
    top_p=_between(0, 1),
    top_k=st.none() | st.integers(-1, 1000),
    min_p=_between(0, 1),
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    frequency_penalty=_between(-2, 2),
    presence_penalty=_between(-2, 2),
    repetition_penalty=_between(0.1, 10),
    logit_bias=st.none() | st.dictionaries(st.integers(0, 99999).map(str), st.floats(-100, 100), max_size=3),
)
_limits = st.none() | st.integers(1, 2**31 - 1)
_stops = st.lists(some_text, max_size=4).map(tuple)
_users = st.none() | some_text.filter(lambda t: "\0" not in t)


@st.composite
def chat_requests(draw: st.DrawFn) -> Request:
    offered = draw(st.lists(tools, max_size=2).map(tuple))
    choice = ToolChoice()
    if offered:
        modes = [ToolChoice(mode=m) for m in ("auto", "none", "required")]
        choice = draw(st.sampled_from([*modes, ToolChoice(mode="function", name=offered[0].name)]))
    logprobs = draw(st.booleans())
    stream = draw(st.booleans())
    return Request(
        operation="chat",
        model=draw(names),
        messages=draw(conversations),
        sampling=draw(samplings),
        tools=offered,
        tool_choice=choice,
        parallel_tool_calls=draw(st.none() | st.booleans()) if offered else None,
        output=draw(outputs),
        reasoning_effort=draw(st.none() | st.sampled_from(["none", "low", "max"])),
        max_output_tokens=draw(_limits),
        n=draw(st.integers(1, 128)),
        stop=draw(_stops),
        logprobs=logprobs,
        top_logprobs=draw(st.integers(0, 20)) if logprobs else 0,
        stream=stream,
        include_usage=stream,  # upstream a stream always asks for usage
        end_user=draw(_users),
    )


@st.composite
def completion_requests(draw: st.DrawFn) -> Request:
    logprobs = draw(st.booleans())
    stream = draw(st.booleans())
    prompts = tuple(draw(st.lists(text, min_size=1, max_size=3)))
    return Request(
        operation="completion",
        model=draw(names),
        prompts=prompts,
        suffix=draw(st.none() | some_text),
        sampling=draw(samplings),
        max_output_tokens=draw(st.integers(1, 2**31 - 1)),
        n=draw(st.integers(1, 128 // len(prompts))),
        stop=draw(_stops),
        logprobs=logprobs,
        top_logprobs=draw(st.integers(0, 5)) if logprobs else 0,
        stream=stream,
        include_usage=stream,
        end_user=draw(_users),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Believable ones: something was written."""
    count = st.integers(0, 10**6)
    return Usage(
        input_tokens=draw(count),
        cached_read_tokens=draw(count),
        cache_write_tokens=draw(count),
        output_tokens=draw(st.integers(1, 10**6)),
        reasoning_tokens=draw(count),
    )


_logprob = st.floats(-9999, 0)


@st.composite
def logprobs(draw: st.DrawFn, *, raw: bool = True, max_size: int = 3) -> tuple[TokenLogprob, ...]:
    def token() -> TokenLogprob:
        name = draw(some_text)
        data = draw(st.none() | st.binary(max_size=4)) if raw else None
        return TokenLogprob(token=name, logprob=draw(_logprob), raw=None if data == name.encode() else data)

    tops = {draw(some_text): draw(_logprob) for _ in range(draw(st.integers(0, 2)))}
    top = tuple(TokenLogprob(token=t, logprob=p) for t, p in tops.items())
    return tuple(
        TokenLogprob(token=t.token, logprob=t.logprob, raw=t.raw, top=top)
        for t in (token() for _ in range(draw(st.integers(0, max_size))))
    )


_reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])


@st.composite
def chat_answers(draw: st.DrawFn) -> Answer:
    def choice() -> Choice:
        parts: list[object] = []
        parts += draw(st.lists(st.builds(Reasoning, text=some_text), max_size=1))
        parts += draw(st.lists(st.builds(Text, some_text), max_size=1))
        parts += draw(st.lists(st.builds(Refusal, some_text), max_size=1))
        parts += draw(st.lists(st.builds(ToolCall, id=names, name=names, arguments=text), max_size=2))
        return Choice(parts=tuple(parts), finish_reason=draw(_reasons), logprobs=draw(logprobs()))  # type: ignore[arg-type]

    return Answer(
        model=draw(names),
        choices=tuple(choice() for _ in range(draw(st.integers(1, 3)))),
        usage=draw(usages()),
        upstream_id="chatcmpl-1",
        fingerprint=draw(st.sampled_from(["", "fp_1"])),
    )


@st.composite
def completion_answers(draw: st.DrawFn) -> Answer:
    reasons = st.sampled_from(["stop", "length", "content_filter"])

    def choice() -> Choice:
        parts = tuple(draw(st.lists(st.builds(Text, some_text), max_size=1)))
        return Choice(parts=parts, finish_reason=draw(reasons), logprobs=draw(logprobs(raw=False)))

    return Answer(
        model=draw(names),
        choices=tuple(choice() for _ in range(draw(st.integers(1, 3)))),
        usage=draw(usages()),
        upstream_id="chatcmpl-1",
    )


@st.composite
def _choice_events(draw: st.DrawFn, choice: int) -> list[Event]:
    events: list[Event] = []
    calls = 0
    for kind in draw(st.lists(st.sampled_from(["text", "reasoning", "refusal", "call"]), max_size=5)):
        if kind == "text":
            tokens = draw(logprobs())
            events.append(TextDelta(draw(text if tokens else some_text), choice, tokens))
        elif kind == "reasoning":
            events.append(ReasoningDelta(draw(some_text), choice))
        elif kind == "refusal":
            events.append(RefusalDelta(draw(some_text), choice))
        else:
            first = ToolCallDelta(
                index=calls, id=f"call_{calls}", name=draw(names), arguments=draw(text), choice=choice
            )
            more = draw(st.lists(some_text, max_size=3))
            events += [first, *(ToolCallDelta(index=calls, arguments=a, choice=choice) for a in more)]
            calls += 1
    return [*events, ChoiceFinished(draw(_reasons), choice)]


@st.composite
def chat_streams(draw: st.DrawFn) -> tuple[Request, list[Event]]:
    """A request with its events: choices one after the other, then the usage."""
    n = draw(st.integers(1, 3))
    events: list[Event] = [
        AnswerStarted(model="m", upstream_id="chatcmpl-1", fingerprint=draw(st.sampled_from(["", "fp_1"])))
    ]
    for choice in range(n):
        events += draw(_choice_events(choice))
    events.append(UsageReported(usage=draw(usages())))
    message = Message("user", (Text("hi"),))
    request = Request(
        operation="chat", model="m", messages=(message,), n=n, stream=True, include_usage=True, logprobs=True
    )
    return request, events


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """data, cut at random places."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
