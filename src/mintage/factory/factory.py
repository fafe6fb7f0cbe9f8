"""The factory of one home, as the admin API and the command line see it: runs, lineage, costs, promotion, stages."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.accounts import SYSTEM, Accounts
from mintage.base import Clock, MintageError
from mintage.billing import Billing
from mintage.books import Database, Ledger
from mintage.factory.costs import read_costs
from mintage.factory.lineage import (
    SIGNATURE,
    Artifact,
    Deployment,
    MakingCost,
    Records,
    SignedManifest,
    Signer,
    Stage,
    amortise,
    make_signer,
    making_cost,
    post_costs,
)
from mintage.factory.recipe import Recipe, ServePart
from mintage.factory.run import Run, RunState, find_run, list_runs
from mintage.registry import EngineName, ModelEntry, Registry

_LIFETIME: Final = ServePart().lifetime_tokens


class Promote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """run: an id or the name of a recipe, whose newest run is taken. What is left out is as its recipe's [serve] says.

    Prices are currency units per million tokens; they are written into the plan if it does not sell the model yet.
    """

    run: str
    name: str | None = None
    plan: str | None = None
    input_per_million: str | None = None
    output_per_million: str | None = None
    stage: Stage = "production"


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    plan: str
    plan_changed: bool
    deployment: Deployment
    size_bytes: int
    making_nanos: int
    currency: str


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """cost_nanos: of all attempts so far, booked or not. models: the names under which it is served now."""

    run: RunState
    cost_nanos: int
    currency: str
    models: tuple[str, ...]


def signer_of(accounts: Accounts) -> Signer:
    """The home's signing key, made at first use and sealed by the master key."""
    vault = accounts.vault
    return make_signer(vault.names, vault.get, lambda name, value: vault.put(SYSTEM, name, value))


class Factory:
    """Blocking: call it in a thread. Only the home's one writer may record, promote or amortise."""

    def __init__(  # noqa: PLR0917 - the parts of one home
        self, home: Path, database: Database, ledger: Ledger, clock: Clock, accounts: Accounts, billing: Billing,
        registry: Registry, currency: str,
    ) -> None:  # fmt: skip
        self._home, self._ledger, self._clock = home, ledger, clock
        self._accounts, self._billing, self._registry = accounts, billing, registry
        self._currency = currency
        self.records = Records(database, clock)

    # Looking

    def runs(self) -> list[RunView]:
        """Newest first."""
        return [self._view(run) for run in list_runs(self._home)]

    def run(self, text: str) -> RunView:
        return self._view(find_run(self._home, text))

    def lineage(self, text: str) -> list[Artifact]:
        return self.records.lineage(find_run(self._home, text).state.id)

    def costs(self, text: str) -> MakingCost:
        run = find_run(self._home, text)
        mine = [one for one in self.records.deployments() if one.run_id == run.state.id]
        lifetime = (run.recipe.serve or ServePart()).lifetime_tokens
        return making_cost(self._ledger, run.state.id, run.state.name, run.costs(), mine[0] if mine else None, lifetime)

    def _view(self, run: Run) -> RunView:
        lines = read_costs(run.folder)
        serving = {one.model for one in self.records.deployments() if one.run_id == run.state.id and not one.ended_ns}
        return RunView(
            run=run.state,
            cost_nanos=sum(line.nanos for line in lines),
            currency=lines[0].currency if lines else self._currency,
            models=tuple(sorted(serving)),
        )

    # Keeping

    def record(self, actor: str, text: str) -> MakingCost:
        """Lineage and cost of a run into the books. Again: what is there stays, what is new is added."""
        run = find_run(self._home, text)
        with self._accounts.changes.change(actor, "factory.record", run.state.id, name=run.state.name):
            pass
        self.records.record(run)
        post_costs(self._ledger, run.state.id, run.state.name, run.costs())
        return self.costs(run.state.id)

    def amortise(self) -> int:
        """Nanos moved from the asset to expenses for tokens served since the last time."""
        return amortise(self._ledger, self.records.deployments(), self._clock.now_ns())

    def promote(self, actor: str, wanted: Promote) -> Promoted:
        """Sign the run's weights, put them behind the gateway under their name, and let a plan sell them."""
        run = find_run(self._home, wanted.run)
        if run.state.state != "done":
            raise MintageError(
                "conflict", f"The run {run.state.id} is {run.state.state}.", "Only a finished run can be promoted."
            )
        cost = self.record(actor, run.state.id)
        serve = _serve(run.recipe, wanted)
        entry = self._place(run, serve)
        changed = self._sell(actor, serve, entry.name)
        with self._accounts.changes.change(
            actor, "model.promote", entry.name, run=run.state.id, stage=wanted.stage, sha256=entry.sha256
        ) as change:
            deployment = self.records.deploy(
                change.connection, model=entry.name, run_id=run.state.id, sha256=entry.sha256 or "",
                lifetime_tokens=serve.lifetime_tokens, stage=wanted.stage,
            )  # fmt: skip
        return Promoted(
            model=entry.name, plan=serve.plan, plan_changed=changed, deployment=deployment,
            size_bytes=entry.size_bytes, making_nanos=cost.capitalised_nanos, currency=cost.currency,
        )  # fmt: skip

    def stage(self, actor: str, model: str, stage: Stage) -> Deployment:
        """Move a model's deployment; a retired one is taken from behind the gateway."""
        with self._accounts.changes.change(actor, "model.stage", model, stage=stage) as change:
            moved = self.records.stage(change.connection, model, stage)
        if stage == "retired":
            self._registry.remove(model)
        return moved

    def _place(self, run: Run, serve: ServePart) -> ModelEntry:
        folder = run.folder / "export"
        weights, beside = folder / "model.gguf", list[Path]()
        engine: EngineName = "openvino" if serve.engine == "openvino" else "llamacpp"
        if not weights.is_file():  # what Transformers serves as it is
            weights, engine = folder / "model.safetensors", "transformers"
            beside = sorted(path for path in folder.glob("*") if path != weights)
        known = {one.id: one.sha256 for one in self.records.lineage(run.state.id) if one.kind != "deployment"}
        if not weights.is_file() or known.get(f"{run.state.id}/export") is None:
            raise MintageError("conflict", f"The run {run.state.id} has no export.", "Run it again.")
        from mintage.factory.run import hash_tree

        manifest = SignedManifest(
            name=serve.name, run_id=run.state.id, sha256=hash_tree(weights), created_ns=self._clock.now_ns(),
            artifacts=known,
        )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="mintage-") as aside:
            signature = Path(aside) / SIGNATURE
            signature.write_bytes(msgspec.json.encode(signer_of(self._accounts).sign(manifest)))
            return self._registry.place(
                serve.name, weights, f"factory:{run.state.id}", [signature, *beside], engine=engine
            )

    def _sell(self, actor: str, serve: ServePart, model: str) -> bool:
        """Make the plan sell the model; whether the plan had to change. A price that is there is left as it is."""
        plans = self._billing.plans
        price = {
            "model": model,
            "input_tokens": {"per_million": serve.input_per_million},
            "output_tokens": {"per_million": serve.output_per_million},
        }
        try:
            current = plans.current(serve.plan, self._clock.now_ns())
        except MintageError as error:
            if error.code != "not_found":
                raise
            plan: dict[str, Any] = {
                "id": serve.plan, "currency": self._currency, "funding": "prepaid", "prices": [price],
                "name": {"en": f"Made here: {serve.plan}", "zh": f"自制模型：{serve.plan}"},
            }  # fmt: skip
        else:
            from mintage.pricing import compile_plan

            if compile_plan(current).sells(model):
                return False
            plan = msgspec.json.decode(current.canonical)
            plan.pop("effective", None)
            plan["prices"] = [*plan.get("prices", []), price]
        return plans.apply(actor, msgspec.json.encode(plan), "json").changed


def _serve(recipe: Recipe, wanted: Promote) -> ServePart:
    """[serve] of the recipe with what was asked for instead."""
    serve = recipe.serve or ServePart()
    asked = {
        field: value
        for field in ("name", "plan", "input_per_million", "output_per_million")
        if (value := getattr(wanted, field)) is not None
    }
    named = {"name": serve.name or recipe.run.name, **asked}
    try:
        return msgspec.convert({**msgspec.structs.asdict(serve), **named}, ServePart)
    except msgspec.ValidationError as error:
        raise MintageError("invalid_request", f"{error}.", "Prices are decimal numbers such as 0.50.") from error
