"""Usage and costs as dashboards ask for them: the openai SDK's admin client, and Anthropic's reports as they are."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from openai.types.admin.organization import UsageCompletionsResponse, UsageCostsResponse

from .strict import read_strictly

ASK: Any = [{"role": "user", "content": "Hi"}]
DAY_S = 86_400


@pytest.fixture(scope="module")
def spent(shop: Any) -> Decimal:
    """What three chats and an embedding cost a customer who has done nothing else."""
    client = openai.OpenAI(base_url=shop.base_url, api_key=shop.keys["thrifty"])
    headers = [
        client.chat.completions.with_raw_response.create(model=model, messages=ASK, user=user).headers
        for model, user in (("say", "ann"), ("say", "ben"), ("think", "ann"))
    ]
    headers.append(client.embeddings.with_raw_response.create(model="embed", input="four").headers)
    client.close()
    return sum((Decimal(found["x-mintage-charge"].split()[0]) for found in headers), Decimal(0))


@pytest.fixture
def admin(shop: Any, spent: Decimal) -> Any:
    with openai.OpenAI(base_url=shop.base_url, api_key="x", admin_api_key=shop.keys["thrifty"]) as client:
        yield client.admin.organization.usage


def today_s() -> int:
    return int(time.time()) // DAY_S * DAY_S


def test_completions(admin: Any) -> None:
    raw = admin.with_raw_response.completions(start_time=today_s(), group_by=["model", "user_id"], bucket_width="1d")
    page = read_strictly(UsageCompletionsResponse, raw.text)
    found = {(r.model, r.user_id): r for bucket in page.data for r in bucket.results}
    assert set(found) == {("say", "ann"), ("say", "ben"), ("think", "ann")}
    one = found["say", "ann"]
    assert (one.num_model_requests, one.input_tokens, one.input_cached_tokens, one.output_tokens) == (1, 12, 4, 5)
    assert found["think", "ann"].output_tokens == 5


def test_filters_and_hours(admin: Any) -> None:
    page = admin.completions(start_time=today_s(), models=["say"], bucket_width="1h")
    results = [result for bucket in page.data for result in bucket.results]
    assert [result.num_model_requests for result in results] == [2]
    assert len(page.data) == -(-(time.time() - today_s()) // 3600)


def test_embeddings(admin: Any) -> None:
    [bucket] = admin.embeddings(start_time=today_s()).data
    assert (bucket.results[0].num_model_requests, bucket.results[0].input_tokens) == (1, 9)


def test_costs_are_exact(admin: Any, spent: Decimal) -> None:
    raw = admin.with_raw_response.costs(start_time=today_s(), group_by=["line_item"])
    page = read_strictly(UsageCostsResponse, raw.text)
    assert {r.line_item for bucket in page.data for r in bucket.results} == {"say", "think", "embed"}
    assert "e-" not in raw.text
    digits = httpx.Response(200, text=raw.text).json()
    total = sum(Decimal(str(r["amount"]["value"])) for bucket in digits["data"] for r in bucket["results"])
    assert total == spent


def test_pages(admin: Any) -> None:
    start_s = today_s() - 2 * DAY_S
    first = admin.completions(start_time=start_s, limit=2)
    assert first.has_more and first.next_page
    second = admin.completions(start_time=start_s, limit=2, page=first.next_page)
    assert [bucket.start_time for bucket in (*first.data, *second.data)] == [start_s + n * DAY_S for n in range(3)]
    assert not second.has_more


def test_anthropic_reports(shop: Any, spent: Decimal) -> None:
    headers = {"x-api-key": shop.keys["thrifty"], "anthropic-version": "2023-06-01"}
    query = {"starting_at": time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime()), "group_by[]": "model"}
    usage = httpx.get(
        f"{shop.base_url}/organizations/usage_report/messages", params=query, headers=headers, timeout=20
    ).json()
    [say] = [r for r in usage["data"][0]["results"] if r["model"] == "say"]
    assert (say["uncached_input_tokens"], say["cache_read_input_tokens"], say["output_tokens"]) == (16, 8, 10)
    del query["group_by[]"]
    costs = httpx.get(f"{shop.base_url}/organizations/cost_report", params=query, headers=headers, timeout=20).json()
    assert sum(Decimal(r["amount"]) for r in costs["data"][0]["results"]) == spent * 100


@pytest.mark.parametrize("query", ["", "start_time=x", "start_time=1&bucket_width=2d", "start_time=1&group_by=secret"])
def test_refusals(shop: Any, query: str) -> None:
    url = f"{shop.base_url}/organization/usage/completions?{query}"
    answer = httpx.get(url, headers={"authorization": f"Bearer {shop.keys['rich']}"})
    assert answer.status_code == 400
    assert httpx.get(url).status_code == 401


def test_nobody_sees_another_customers_usage(shop: Any) -> None:
    url = f"{shop.base_url}/organization/costs?start_time={today_s()}"
    page = httpx.get(url, headers={"authorization": f"Bearer {shop.keys['poor']}"}, timeout=20).json()
    assert [bucket["results"] for bucket in page["data"]] == [[]]
