import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import ChoiceFinished, Message, MintageError, Request, Text, TextDelta
from mintage.gateway.shape_input import normalise_text, truncate
from mintage.gateway.shape_output import OutputShaper
from mintage.pricing import OutputPolicy


def shaped(policy: OutputPolicy, pieces: list[str]) -> str:
    shaper = OutputShaper(policy)
    events = [e for piece in pieces for e in shaper.feed(TextDelta(piece))]
    events += shaper.feed(ChoiceFinished("stop"))
    assert events[-1] == ChoiceFinished("stop")
    return "".join(e.text for e in events if isinstance(e, TextDelta))


def test_trim_drops_the_space_around_but_not_inside() -> None:
    assert shaped(OutputPolicy(trim=True), ["\n ", " Hello ", " ", "world. ", "\n"]) == "Hello  world."


def test_a_repeated_sentence_is_said_once() -> None:
    policy = OutputPolicy(deduplicate=True)
    assert shaped(policy, ["The sky is blue. The sky is blue. The sea too."]) == "The sky is blue. The sea too."
    assert shaped(policy, ["今天天气非常好啊。今天天气非常好啊。再见。"]) == "今天天气非常好啊。再见。"


def test_short_sentences_may_repeat() -> None:
    assert shaped(OutputPolicy(deduplicate=True), ["Yes. Yes. No."]) == "Yes. Yes. No."


def test_plain_strips_markdown() -> None:
    text = "# Title\n**Bold** and *soft* `code` [link](http://x.y)\n```python\nx = 2 * 3 * 4\n```\n"
    assert shaped(OutputPolicy(format="plain"), [text]) == "Title\nBold and soft code link\nx = 2 * 3 * 4\n"


@given(st.text(alphabet="ab. \n。*", max_size=60), st.data(), st.booleans(), st.booleans())
def test_the_pieces_do_not_matter(text: str, data: st.DataObject, trim: bool, deduplicate: bool) -> None:
    policy = OutputPolicy(trim=trim, deduplicate=deduplicate)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert shaped(policy, pieces) == shaped(policy, list(text))


def test_normalise_keeps_words_and_drops_noise() -> None:
    assert normalise_text("a\r\nb\x00\tc\ufeff") == "a\nb\tc"
    assert normalise_text("e\u0301") == "é"


def conversation(turns: int) -> Request:
    messages = [Message("system", (Text("be kind"),))]
    for i in range(turns):
        messages += [Message("user", (Text(f"question {i}"),)), Message("assistant", (Text(f"answer {i}"),))]
    return Request(operation="chat", model="m", messages=(*messages, Message("user", (Text("last"),))))


async def count(request: Request) -> int:
    return sum(len(message.text.split()) for message in request.messages)


@pytest.mark.parametrize("limit", [3, 7, 12, 20, 100])
async def test_truncate_drops_the_fewest_oldest_turns(limit: int) -> None:
    whole = conversation(6)
    fitted, tokens = await truncate(whole, count, limit)
    assert tokens == await count(fitted) <= limit
    assert fitted.messages[0].role == "system"
    assert fitted.messages[-1].text == "last"
    if (dropped := len(whole.messages) - len(fitted.messages)) > 0:
        assert fitted.messages[1].role == "user"
        one_more = whole.messages[1 + dropped - 2 : 1 + dropped]
        assert tokens + sum(len(m.text.split()) for m in one_more) > limit


async def test_a_last_turn_that_is_too_long_is_refused() -> None:
    with pytest.raises(MintageError) as refusal:
        await truncate(conversation(2), count, 2)
    assert refusal.value.code == "context_length_exceeded"
