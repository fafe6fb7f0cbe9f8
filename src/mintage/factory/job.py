"""A run as a job: payload {"recipe": PATH} or {"run": ID}; it goes on where it stopped, and ends with a promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mintage.base import MintageError, load_settings
from mintage.client import AdminClient
from mintage.factory.make import begin, make, sell
from mintage.factory.recipe import load_recipe
from mintage.factory.run import find_run
from mintage.jobs import Context, JobCancelled


def run(context: Context) -> dict[str, Any]:
    payload = context.payload if isinstance(context.payload, dict) else {}
    kept = (context.checkpoint or {}).get("run") or payload.get("run")
    if kept:
        found = find_run(context.home, str(kept))
    elif payload.get("recipe"):
        found = begin(context.home, load_recipe(Path(str(payload["recipe"]))))
    else:
        raise MintageError("invalid_request", "The job names no recipe.", 'Give {"recipe": "/path/to/recipe.toml"}.')
    context.save({"run": found.state.id})

    def tell(step: str, done: int, total: int | None, note: str, spent_nanos: int) -> None:
        context.progress(done, total, f"{step}: {note}")

    state = make(found, load_settings(home=str(context.home)), progress=tell, cancelled=lambda: context.cancelled)
    if state.state == "cancelled":
        raise JobCancelled
    with AdminClient.of_home(context.home) as api:
        from mintage.books import Home

        address = Home(context.home).server()
        promoted, answers = sell(api, address.url if address else "", found)
    return {"run": state.id, "promoted": promoted, "answers": [answer.request_id for answer in answers]}
