"""From a recipe to a finished run, and from there to a first paid answer: what the command and the job share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.base import MintageError, Settings
from mintage.client import AdminClient
from mintage.factory.costs import ComputePrice, compute_price
from mintage.factory.models import Estimate, ModelConfig, estimate
from mintage.factory.recipe import Loaded, Recipe, ServePart, section
from mintage.factory.run import Run, Runner, RunProgress, RunState
from mintage.factory.step import Cancelled
from mintage.factory.tokenizer import TokenizerOptions
from mintage.factory.training import TrainingOptions

_FIRST_CUSTOMER: Final = "factory-first"
_FIRST_TOP_UP: Final = "1.00"
_TIMEOUT_S: Final = 120.0
_LOOKS_MAX: Final = 40
_LOOK_EVERY_S: Final = 0.25


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a dry run tells. tokens_per_parameter: about 20 is compute-optimal (Hoffmann et al. 2022)."""

    name: str
    steps: tuple[str, ...]
    tokens_per_parameter: float
    pretrain: Estimate
    finetune: Estimate | None
    seconds: float
    cost_nanos: int
    currency: str


class FirstAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One paid request through the gateway, as its receipt tells it."""

    ask: str
    answer: str
    request_id: str
    charge_nanos: int
    cost_nanos: int
    margin_nanos: int
    currency: str


def plan_of(recipe: Recipe, price: ComputePrice) -> Plan:
    """What the recipe would take and cost, before anything runs. Raises invalid_request for a wrong option."""
    config = section(recipe.model, ModelConfig, "[model]")
    options = section(recipe.pretrain, TrainingOptions, "[pretrain]")
    shape = config.shape(section(recipe.tokenizer, TokenizerOptions, "[tokenizer]").vocabulary)
    device = {"device": recipe.device.kind, "count": recipe.device.count}
    first = estimate(shape, options.tokens, price, **device)  # type: ignore[arg-type]
    second = None
    if recipe.finetune is not None:
        tuning = section(recipe.finetune.options, TrainingOptions, "[finetune.options]")
        second = estimate(shape, tuning.tokens, price, **device)  # type: ignore[arg-type]
    parts = [part for part in (first, second) if part is not None]
    return Plan(
        name=recipe.run.name,
        steps=("corpus", "tokenizer", "store", "pretrain", "finetune", "evaluate", "export"),
        tokens_per_parameter=round(options.tokens / first.parameters, 2),
        pretrain=first,
        finetune=second,
        seconds=round(sum(part.seconds for part in parts), 1),
        cost_nanos=sum(part.cost_nanos for part in parts),
        currency=price.currency,
    )


def make(run: Run, settings: Settings, *, progress: RunProgress, cancelled: Cancelled) -> RunState:
    """Run what is left of a run, then write its report. Needs the extras `factory` and `training`."""
    try:
        import tokenizers  # noqa: F401
        import torch  # noqa: F401
        import transformers.utils.logging
    except ImportError as error:
        raise MintageError(
            "unavailable", f"Making models needs {error.name}.", "pip install torch 'mintage[factory,training]'."
        ) from error
    transformers.utils.logging.disable_progress_bar()
    from mintage.factory.report import write_report
    from mintage.factory.stages import steps_of

    steps = steps_of(run.recipe, run.source_folder)
    try:
        return Runner(run, steps, compute_price(settings), progress=progress, cancelled=cancelled).run()
    finally:
        write_report(run)


def begin(home: Path, loaded: Loaded) -> Run:
    """A new run, unless the newest of this recipe is unfinished and the same: that one goes on."""
    from mintage.factory.run import RECIPE_FILE, list_runs
    from mintage.factory.stages import steps_of

    steps_of(loaded.recipe, loaded.folder)  # refuse wrong options before there is a run
    for run in list_runs(home):
        same = (run.folder / RECIPE_FILE).read_text("utf-8") == loaded.text and run.state.name == loaded.recipe.run.name
        if same and run.state.folder == str(loaded.folder):
            return run if run.state.state != "done" else Run.begin(home, loaded)
    return Run.begin(home, loaded)


def sell(api: AdminClient, url: str, run: Run) -> tuple[dict[str, Any], list[FirstAnswer]]:
    """Promote a finished run by its [serve], and let a first customer pay for the answers that it asks for."""
    serve = run.recipe.serve
    if serve is None:
        return api.call("POST", f"/factory/runs/{run.state.id}/record"), []
    promoted = api.call("POST", "/models/promote", json={"run": run.state.id})
    if not serve.ask:
        return promoted, []
    handle, key = _first_customer(api, serve)
    customer = _Customer(api, url, handle, key, chats=run.recipe.finetune is not None)
    return promoted, [_ask(customer, promoted["model"], ask, serve.answer_tokens) for ask in serve.ask]


def _first_customer(api: AdminClient, serve: ServePart) -> tuple[str, str]:
    """(handle, key) of a customer of the plan with money in its wallet; its key is new each time and is not kept."""
    handle = f"{_FIRST_CUSTOMER}-{serve.plan}"[:40].rstrip("-")
    try:
        api.get(f"/customers/{handle}")
    except MintageError as error:
        if error.code != "not_found":
            raise
        api.call("POST", "/customers", json={"name": f"First customer of {serve.plan}", "handle": handle})
    api.call("PUT", f"/customers/{handle}/plan", json={"plan": serve.plan})
    paid = {"amount": _FIRST_TOP_UP, "source": "factory", "source_id": f"first:{handle}"}
    api.call("POST", f"/customers/{handle}/top-ups", json=paid)
    key: str = api.call("POST", f"/customers/{handle}/keys", json={"name": "first answers"})["secret"]
    return handle, key


class _Customer(msgspec.Struct, frozen=True):
    """chats: its model was taught to converse; else it is given text to complete."""

    api: AdminClient
    url: str
    handle: str
    key: str
    chats: bool


def _ask(customer: _Customer, model: str, ask: str, tokens_max: int) -> FirstAnswer:
    """What the customer pays is on its receipt; what it cost us is in the books."""
    import httpx

    before = _cost_nanos(customer.api, customer.handle, model)
    path = "/v1/chat/completions" if customer.chats else "/v1/completions"
    text: dict[str, Any] = {"messages": [{"role": "user", "content": ask}]} if customer.chats else {"prompt": ask}
    body = {"model": model, **text, "max_tokens": tokens_max, "temperature": 0}
    headers = {"authorization": f"Bearer {customer.key}"}
    with httpx.Client(base_url=customer.url, timeout=_TIMEOUT_S, trust_env=False, headers=headers) as client:
        answer = client.post(path, json=body)
        for _ in range(_LOOKS_MAX):  # the gateway sees new keys and plans within a quarter of a second
            if answer.status_code not in (401, 403, 404):
                break
            time.sleep(_LOOK_EVERY_S)
            answer = client.post(path, json=body)
        if answer.status_code != 200:
            problem = answer.json()["error"]["message"]
            raise MintageError("upstream_failed", f"The first answer failed: {problem}", "See `mintage models list`.")
        request_id = answer.headers["x-request-id"]
        receipt = client.get(f"/v1/receipts/{request_id}").json()
    cost = _cost_nanos(customer.api, customer.handle, model) - before
    [choice] = answer.json()["choices"]
    return FirstAnswer(
        ask=ask,
        answer=(choice["message"]["content"] if customer.chats else choice["text"]) or "",
        request_id=request_id,
        charge_nanos=receipt["charge_nanos"],
        cost_nanos=cost,
        margin_nanos=receipt["charge_nanos"] - cost,
        currency=receipt["currency"],
    )


def _cost_nanos(api: AdminClient, handle: str, model: str) -> int:
    rows = api.get("/pnl", by="model", customer=handle)
    return sum(row["cost_nanos"] for row in rows if row["group"]["model"] == model)
