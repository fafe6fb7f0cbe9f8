"""BLEU, chrF and TER as sacrebleu computes them (Post, 2018), with its signature."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from mintage.base import MintageError
from mintage.factory.evaluation.options import ScoreOptions, ScoreReport

#: What works offline and without other programs.
BLEU_TOKENIZERS: Final = ("13a", "intl", "zh", "char", "none")


def library(name: str, install: str = "'mintage[evaluate]'") -> Any:
    """A scoring library. Raises MintageError that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MintageError(
            "unavailable", f"{name.partition('.')[0]} is not installed.", f"Run: pip install {install}."
        ) from error


def _language(options: ScoreOptions) -> str:
    return options.lang.lower().replace("_", "-").partition("-")[0]


def _bleu_tokenizer(options: ScoreOptions) -> str:
    """The default splits at spaces: a Chinese sentence would be one word, and score 0 or 100."""
    if options.tokenize:
        if options.tokenize not in BLEU_TOKENIZERS:
            raise MintageError(
                "invalid_request",
                f"BLEU has no tokenizer {options.tokenize[:40]!r}.",
                f"Choose from {', '.join(BLEU_TOKENIZERS)}.",
                param="tokenize",
            )
        return options.tokenize
    return {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}.get(_language(options), "13a")


def bleu(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: ScoreOptions
) -> ScoreReport:
    metric = library("sacrebleu.metrics").BLEU(
        lowercase=options.lowercase,
        force=True,  # it would only warn of text that looks tokenized
        tokenize=_bleu_tokenizer(options),
        smooth_method=options.smooth,
        smooth_value=options.smooth_value,
        max_ngram_order=options.max_ngram_order,
        effective_order=options.effective_order,
    )
    found = metric.corpus_score(list(hypotheses), [list(stream) for stream in references])
    details: dict[str, float | list[float]] = {
        "precisions": list(found.precisions),
        "brevity_penalty": found.bp,
        "hypothesis_tokens": found.sys_len,
        "reference_tokens": found.ref_len,
    }
    return ScoreReport(
        metric=name,
        score=found.score,
        segments=len(hypotheses),
        references=len(references),
        details=details,
        signature=str(metric.get_signature()),
    )


def chrf(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: ScoreOptions
) -> ScoreReport:
    metric = library("sacrebleu.metrics").CHRF(
        char_order=options.char_order,
        word_order=options.word_order,
        beta=options.beta,
        lowercase=options.lowercase,
        whitespace=options.whitespace,
        eps_smoothing=options.eps_smoothing,
    )
    found = metric.corpus_score(list(hypotheses), [list(stream) for stream in references])
    return ScoreReport(
        metric=name,
        score=found.score,
        segments=len(hypotheses),
        references=len(references),
        details={},
        signature=str(metric.get_signature()),
    )


def ter(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], options: ScoreOptions
) -> ScoreReport:
    asian = options.asian_support or _language(options) in ("zh", "ja", "ko")
    metric = library("sacrebleu.metrics").TER(
        normalized=options.normalized or asian,  # sacrebleu splits Asian characters only while it normalises
        no_punct=options.no_punct,
        asian_support=asian,
        case_sensitive=options.case_sensitive,
    )
    found = metric.corpus_score(list(hypotheses), [list(stream) for stream in references])
    details: dict[str, float | list[float]] = {"edits": found.num_edits, "reference_tokens": found.ref_length}
    return ScoreReport(
        metric=name,
        score=found.score,
        segments=len(hypotheses),
        references=len(references),
        details=details,
        signature=str(metric.get_signature()),
    )
