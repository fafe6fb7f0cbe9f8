"""What was made from what, and which of it is served: rows that are added, and stages that move."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec
import sqlalchemy as sa

from mintage.base import Clock, MintageError, new_id
from mintage.books import Database
from mintage.factory.lineage.tables import artifacts, deployments, links
from mintage.factory.run import Run

Stage = Literal["candidate", "staging", "production", "retired"]
STAGES: Final[tuple[str, ...]] = get_args(Stage)
#: step -> kind of what it makes, and the steps that it was made from
_KINDS: Final = {
    "corpus": ("data", ()),
    "tokenizer": ("tokenizer", ("corpus",)),
    "store": ("store", ("corpus", "tokenizer")),
    "pretrain": ("base", ("store",)),
    "finetune": ("model", ("pretrain",)),
    "evaluate": ("evaluation", ("finetune",)),
    "export": ("export", ("finetune",)),
}
_ROWS_MAX: Final = 10_000
_DETAILS_MAX: Final = 65_536


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """kind: data, tokenizer, store, base, model, evaluation, export or deployment. parents: ids of artifacts."""

    id: str
    run_id: str
    kind: str
    name: str
    sha256: str
    details: dict[str, Any]
    created_ns: int
    parents: tuple[str, ...] = ()


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    model: str
    run_id: str
    stage: Stage
    sha256: str
    lifetime_tokens: int
    created_ns: int
    ended_ns: int | None = None


class Records:
    """Over one database; every method is one transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(self, run: Run) -> list[Artifact]:
        """Keep what a run's finished steps made. Recording again adds what is new and renews what was made anew."""
        now = self._clock.now_ns()
        with self._database.write() as connection:
            for step in run.state.steps:
                if step.state != "done" or step.name not in _KINDS:
                    continue
                kind, sources = _KINDS[step.name]
                row = {
                    "id": f"{run.state.id}/{kind}",
                    "run_id": run.state.id,
                    "kind": kind,
                    "name": run.state.name,
                    "sha256": next(iter(step.outputs.values()), ""),
                    "details": _details(step.result),
                    "created_ns": step.ended_ns or now,
                }
                connection.execute(artifacts.delete().where(artifacts.c.id == row["id"]))
                connection.execute(artifacts.insert(), row)
                connection.execute(links.delete().where(links.c.child == row["id"]))
                for source in sources:
                    parent = f"{run.state.id}/{_KINDS[source][0]}"
                    connection.execute(links.insert(), {"child": row["id"], "parent": parent})
        return self.lineage(run.state.id)

    def deploy(self, connection: sa.Connection, *, model: str, run_id: str, sha256: str, lifetime_tokens: int,
               stage: Stage) -> Deployment:  # fmt: skip
        """The model's new deployment, in the caller's transaction; the one before is retired from now on."""
        now = self._clock.now_ns()
        connection.execute(
            sa.update(deployments)
            .where((deployments.c.model == model) & deployments.c.ended_ns.is_(None))
            .values(ended_ns=now, stage="retired")
        )
        made = Deployment(
            id=new_id("dep"), model=model, run_id=run_id, stage=stage, sha256=sha256, lifetime_tokens=lifetime_tokens,
            created_ns=now,
        )  # fmt: skip
        connection.execute(deployments.insert(), msgspec.structs.asdict(made))
        row = {
            "id": made.id, "run_id": run_id, "kind": "deployment", "name": model, "sha256": sha256,
            "details": _details({"stage": stage, "lifetime_tokens": lifetime_tokens}), "created_ns": now,
        }  # fmt: skip
        connection.execute(artifacts.insert(), row)
        for kind in ("export", "evaluation"):
            if connection.scalar(sa.select(artifacts.c.id).where(artifacts.c.id == f"{run_id}/{kind}")):
                connection.execute(links.insert(), {"child": made.id, "parent": f"{run_id}/{kind}"})
        return made

    def stage(self, connection: sa.Connection, model: str, stage: Stage) -> Deployment:
        """Move the model's deployment to another stage; retired ends it. Raises not_found."""
        found = self.current(model)
        if found is None:
            raise MintageError("not_found", f"No model {model[:80]!r} was made here.", "Promote a run first.")
        ended = self._clock.now_ns() if stage == "retired" else None
        connection.execute(
            sa.update(deployments).where(deployments.c.id == found.id).values(stage=stage, ended_ns=ended)
        )
        return msgspec.structs.replace(found, stage=stage, ended_ns=ended)

    def current(self, model: str) -> Deployment | None:
        return next((one for one in self.deployments() if one.model == model and one.ended_ns is None), None)

    def deployments(self) -> list[Deployment]:
        """Newest first."""
        query = sa.select(deployments).order_by(deployments.c.created_ns.desc()).limit(_ROWS_MAX)
        with self._database.read() as connection:
            return [Deployment(**row) for row in connection.execute(query).mappings()]

    def lineage(self, run_id: str) -> list[Artifact]:
        """Everything made by a run, what came first first."""
        query = sa.select(artifacts).where(artifacts.c.run_id == run_id).order_by(artifacts.c.created_ns)
        with self._database.read() as connection:
            rows = [dict(row) for row in connection.execute(query.limit(_ROWS_MAX)).mappings()]
            parents: dict[str, list[str]] = {}
            for child, parent in connection.execute(
                sa.select(links.c.child, links.c.parent).where(links.c.child.in_([row["id"] for row in rows]))
            ):
                parents.setdefault(child, []).append(parent)
        return [
            Artifact(
                **{**row, "details": msgspec.json.decode(row["details"])},
                parents=tuple(sorted(parents.get(row["id"], ()))),
            )
            for row in rows
        ]


def _details(result: dict[str, Any]) -> str:
    """Without the curve, which stays in the run folder."""
    text = msgspec.json.encode({key: value for key, value in result.items() if key != "curve"}).decode()
    return text if len(text) <= _DETAILS_MAX else "{}"
