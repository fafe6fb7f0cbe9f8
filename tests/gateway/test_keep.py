"""What passes the gateway is kept as its customer chose, after it was answered; nothing where nothing was chosen."""

import pytest

from mintage.base import MintageError
from mintage.content import Content, ContentPolicy, FileStore
from mintage.gateway import Keeper

from .conftest import Desk, ask


@pytest.fixture
def content(desk: Desk, tmp_path):
    files = FileStore(tmp_path / "content", desk.clock, seal=lambda raw: raw, unseal=lambda raw: raw)
    found = Content(tmp_path / "content", desk.clock, files)
    desk.gateway.keeper = Keeper(found)
    yield found
    found.close()


async def answered(desk: Desk):
    conversation = await desk.gateway.admit(await desk.caller(), ask("a private question"))
    await conversation.answer()
    return conversation


async def test_a_customer_who_keeps_nothing_leaves_nothing(desk: Desk, content) -> None:
    conversation = await answered(desk)
    assert conversation.kept is None
    with pytest.raises(MintageError):
        content.records.read("ten_a", conversation.id)


async def test_in_full_means_question_and_answer(desk: Desk, content) -> None:
    content.policies.set("ten_a", ContentPolicy(keep="full"))
    conversation = await answered(desk)
    kept = content.records.read("ten_a", conversation.id)
    assert kept["request"]["messages"][0]["parts"][0]["text"] == "a private question"
    assert kept["answer"]["choices"][0]["parts"][0]["text"] == "Hello world."
    assert kept["outcome"] == "ok"


async def test_metadata_has_sizes_and_no_word(desk: Desk, content) -> None:
    content.policies.set("ten_a", ContentPolicy(keep="metadata"))
    kept = content.records.read("ten_a", (await answered(desk)).id)
    assert kept["messages"] == [{"role": "user", "parts": ["text"], "characters": 18}]
    assert kept["usage"]["output_tokens"] == 3
    assert "private" not in str(kept)
    assert "Hello" not in str(kept)
