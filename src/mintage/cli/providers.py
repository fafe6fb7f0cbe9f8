"""`mintage providers`: connect providers, see them, test whether address and key are right, remove them."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.cli.client import reporting, session
from mintage.cli.models import secret_of
from mintage.cli.options import Home, Json
from mintage.cli.output import print_json, say, table

app = typer.Typer(help="Providers: whose models you sell beside your own.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the connection.", metavar="NAME")]
_SHOWN_MODELS = 40


@app.command("list")
def list_(
    known: Annotated[bool, typer.Option("--known", help="Also the providers that Mintage knows.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List connections, and with --known what can be connected."""
    with session(home, as_json=as_json) as api:
        found = api.get("/providers")
    if as_json:
        print_json(found if known else found["connections"])
        return
    columns = ("name", "provider", "in the price book", "base URL", "key", "models")
    rows = [
        (
            one["name"],
            one["provider"],
            one["known_as"],
            one["base_url"],
            "sealed" if one["has_key"] else "none",
            ", ".join(one["models"]),
        )
        for one in found["connections"]
    ]
    table("Connections", columns, rows)
    if known:
        facts = [
            (p["name"], p["title"], p["base_url"], p["key_env"], ", ".join(p["operations"])) for p in found["known"]
        ]
        table("Known providers", ("name", "title", "base URL", "usual variable", "operations"), facts)


@app.command()
def add(
    provider: Annotated[
        str, typer.Argument(help="Such as openai; `mintage providers list --known`.", metavar="PROVIDER")
    ],
    *,
    name: Annotated[str, typer.Option(help="Name of the connection; the provider's if left out.")] = "",
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the key: never the key itself.", metavar="NAME")
    ] = None,
    base_url: Annotated[str, typer.Option(help="Where it is, if not where it usually is.", metavar="URL")] = "",
    known_as: Annotated[str, typer.Option("--as", help="Its name in costs and in the price book.")] = "",
    allow_private: Annotated[bool, typer.Option(help="The address may be of this machine or network.")] = False,
    replace: Annotated[bool, typer.Option(help="Give a connection that is there a new key or address.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Connect a provider. Its key is sealed and never shown again."""
    with reporting(as_json=as_json):
        api_key = secret_of(api_key_env)
    body = {
        "provider": provider,
        "name": name,
        "base_url": base_url,
        "api_key": api_key,
        "known_as": known_as,
        "allow_private": allow_private,
        "replace": replace,
    }
    with session(home, as_json=as_json) as api:
        added = api.call("POST", "/providers", json=body)
    if as_json:
        print_json(added)
    else:
        say(f"{added['name']} is connected to {added['base_url']}. Test it: mintage providers test {added['name']}")


@app.command()
def test(name: Name, home: Home = None, as_json: Json = False) -> None:
    """Ask the provider which models it has, and show which of them can be sold."""
    with session(home, as_json=as_json) as api:
        tested = api.call("POST", f"/providers/{name}/test")
    if as_json:
        print_json(tested)
        return
    models = tested["models"]
    priced = sum(model["priced"] for model in models)
    say(f"{name} answered in {tested['latency_ms']} ms: {len(models)} models, {priced} of known cost.")
    rows = [(model["model"], "yes" if model["priced"] else "no") for model in models[:_SHOWN_MODELS]]
    table("Models", ("model", "cost known"), rows)
    if len(models) > _SHOWN_MODELS:
        say(f"... and {len(models) - _SHOWN_MODELS} more; --json shows all.")


@app.command()
def remove(name: Name, home: Home = None, as_json: Json = False) -> None:
    """Forget a connection and its key; refused while a model uses it."""
    with session(home, as_json=as_json) as api:
        removed = api.call("DELETE", f"/providers/{name}")
    if as_json:
        print_json(removed)
    else:
        say(f"Removed {name}.")
