"""What a person reads of a run: report.html with curves, costs and answers, and card.md with what the model is."""

from __future__ import annotations

import html
from decimal import Decimal
from typing import Any

from mintage.factory.judge import html_curve
from mintage.factory.run import Run

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}"
    "td.n{text-align:right}"
)


def write_report(run: Run) -> None:
    """Both files, whole, whatever state the run is in."""
    (run.folder / "report.html").write_text(_report(run), "utf-8")
    (run.folder / "card.md").write_text(_card(run), "utf-8")


def _units(nanos: int) -> str:
    return f"{Decimal(nanos).scaleb(-9):f}"


def _report(run: Run) -> str:
    state, costs = run.state, run.costs()
    rows = "".join(
        f"<tr><td>{html.escape(line.step)}</td><td>{line.outcome}</td><td class=n>{line.wall_s:,.1f}</td>"
        f"<td class=n>{line.cpu_s:,.1f}</td><td class=n>{line.energy_wh:.3f}</td><td class=n>{line.tokens:,}</td>"
        f"<td class=n>{_units(line.nanos)}</td></tr>"
        for line in costs
    )
    curves = "".join(
        html_curve(step.result.get("curve") or [], f"Loss of {step.name}, nats a token") for step in state.steps
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(state.name)} · {state.id}</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(state.name)}</h1><p>{state.id}: {state.state}. "
        f"{html.escape(state.error)}</p>{curves}<h2>Steps and what they cost</h2><table><tr><th>step<th>outcome"
        f"<th>seconds<th>CPU seconds<th>Wh (estimate)<th>tokens<th>{costs[0].currency if costs else ''}</tr>{rows}"
        f"<tr><td>in all<td><td><td><td><td><td class=n>{_units(sum(line.nanos for line in costs))}</tr></table>"
        f"<h2>Answers</h2>{_answers(run)}<h2>Bits a byte, held-out text</h2>{_table(_of(run, 'evaluate'))}</html>"
    )


def _of(run: Run, step: str) -> dict[str, Any]:
    return next((one.result for one in run.state.steps if one.name == step), {})


def _answers(run: Run) -> str:
    return "".join(
        f"<p><b>{html.escape(one['ask'])}</b><br>{html.escape(one['answer'])}</p>"
        for one in _of(run, "evaluate").get("answers", [])
    )


def _table(result: dict[str, Any]) -> str:
    rows = (f"<tr><td>{html.escape(name)}<td class=n>{bits}" for name, bits in result.get("bits_per_byte", {}).items())
    return f"<table>{''.join(rows)}</table>"


def _card(run: Run) -> str:
    corpus, trained = _of(run, "corpus"), _of(run, "pretrain")
    sources = "\n".join(
        f"| {one.get('package') or one.get('path')} | {one.get('language')} | {one.get('licence')} | "
        f"{one.get('sha256', '')[:16]} |"
        for one in corpus.get("sources", [])
    )
    return (
        f"# {run.state.name}\n\nMade by Mintage, run {run.state.id} ({run.state.state}).\n\n"
        f"- Parameters: {trained.get('parameters', 0):,}; tokens read: {trained.get('tokens', 0):,}\n"
        f"- Loss: {trained.get('loss_first', '')} at first, {trained.get('loss_last', '')} at last\n"
        f"- Documents: {corpus.get('train', 0):,} to train, {corpus.get('held_out', 0):,} held out, "
        f"{corpus.get('duplicate', 0):,} duplicates and {corpus.get('short', 0):,} short ones left out\n"
        f"- Bits a byte on held-out text: {_of(run, 'evaluate').get('bits_per_byte', {})}\n"
        f"- Cost: {_units(sum(line.nanos for line in run.costs()))}\n\n"
        f"| source | language | licence | sha256 |\n|---|---|---|---|\n{sources}\n"
    )
