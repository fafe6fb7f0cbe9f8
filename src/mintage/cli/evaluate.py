"""`mintage evaluate`: how good texts and labels are, against references. Opens no books."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mintage.base import MintageError
from mintage.cli.client import reporting
from mintage.cli.options import Home, Json
from mintage.cli.output import facts, print_json

app = typer.Typer(help="Evaluation: score texts and labels against references.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Evaluation: score texts and labels against references."""


@app.command()
def score(
    *,
    metric: Annotated[
        str,
        typer.Option(
            "--metric", help="bleu, chrf, ter, rouge1, rouge2, rougeL, rougeLsum, exact_match, accuracy or f1."
        ),
    ],
    hypotheses: Annotated[Path, typer.Option("--hypotheses", help="What is judged, one segment a line.")],
    references: Annotated[
        list[Path], typer.Option("--references", help="What is right, line by line; give it again for more.")
    ],
    lang: Annotated[str, typer.Option("--lang", help="Language of the text, as en or zh.")] = "",
    tokenize: Annotated[
        str, typer.Option("--tokenize", help="bleu: 13a, intl, zh, char, none. rouge: default, jieba, char.")
    ] = "",
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Ignore case.")] = False,
    smooth: Annotated[str, typer.Option("--smooth", help="bleu: exp, floor, add-k or none.")] = "exp",
    smooth_value: Annotated[float | None, typer.Option("--smooth-value", help="bleu: of floor and add-k.")] = None,
    max_ngram_order: Annotated[int, typer.Option("--max-ngram-order", help="bleu.")] = 4,
    effective_order: Annotated[
        bool, typer.Option("--effective-order", help="bleu: leave out n-grams longer than the text.")
    ] = False,
    char_order: Annotated[int, typer.Option("--char-order", help="chrf.")] = 6,
    word_order: Annotated[int, typer.Option("--word-order", help="chrf: 2 makes it chrF++.")] = 0,
    beta: Annotated[int, typer.Option("--beta", help="chrf: how much recall counts.")] = 2,
    whitespace: Annotated[bool, typer.Option("--whitespace", help="chrf: count white space.")] = False,
    eps_smoothing: Annotated[bool, typer.Option("--eps-smoothing", help="chrf: smooth as NLTK does.")] = False,
    normalized: Annotated[bool, typer.Option("--normalized", help="ter: split punctuation off.")] = False,
    no_punct: Annotated[bool, typer.Option("--no-punct", help="ter: drop punctuation.")] = False,
    asian_support: Annotated[bool, typer.Option("--asian-support", help="ter: split Asian characters.")] = False,
    case_sensitive: Annotated[bool, typer.Option("--case-sensitive", help="ter.")] = False,
    stemmer: Annotated[bool, typer.Option("--stemmer", help="rouge: English word stems.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Score one file against one or several of references; line n of each is the same segment."""
    import msgspec

    from mintage.factory import ScoreOptions, read_segments
    from mintage.factory import score as score_segments

    given = locals()
    with reporting(as_json=as_json):
        try:
            options = msgspec.convert({name: given[name] for name in ScoreOptions.__struct_fields__}, ScoreOptions)
        except msgspec.ValidationError as error:
            raise MintageError(
                "invalid_request", f"{error}", "`mintage evaluate score --help` lists options."
            ) from error
        report = score_segments(metric, read_segments(hypotheses), [read_segments(f) for f in references], options)
        if as_json:
            print_json(report)
        else:
            facts(
                f"{report.metric} = {report.score:.4f}",
                [
                    ("segments", report.segments),
                    ("references", report.references),
                    *((name, _shown(value)) for name, value in report.details.items()),
                    ("signature", report.signature),
                ],
            )


def _shown(value: float | list[float]) -> str:
    return " / ".join(f"{part:.2f}" for part in value) if isinstance(value, list) else f"{value:.4g}"
