"""One door for named questions: the inputs as a case states them, the answer with the names that a case expects."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mintage.base import MintageError
from mintage.lab.theory import costs, demand, research, retention, risk, tariffs
from mintage.lab.theory.deepseek import deepseek_day

Inputs = Mapping[str, Any]
_LINEAR = re.compile(r"^\s*([\d.]+)\s*-\s*([\d.]*)\s*\*?\s*p\s*$")
_POWER = re.compile(r"^\s*([\d.e+]+)\s*\*?\s*p\s*\^\s*\(?(-?[\d.]+)\)?\s*$")
_SQUARE = re.compile(r"^\s*([\d.]*)\s*\*?\s*q\^2\s*(?:/\s*([\d.]+))?\s*$")


def _matched(pattern: re.Pattern[str], text: str, example: str) -> tuple[str, ...]:
    found = pattern.match(text)
    if found is None:
        raise MintageError("invalid_request", f"{text[:40]!r} is no formula known here.", f"Write it like {example}.")
    return tuple(group or "" for group in found.groups())


def _line(text: Any) -> tuple[float, float]:
    """`5-0.25p` as (5, 0.25)."""
    if not isinstance(text, str):
        a, b = text
        return float(a), float(b)
    a, b = _matched(_LINEAR, text, "5-0.25p")
    return float(a), float(b or 1)


def _own_gpus(given: Inputs) -> dict[str, Any]:
    made = costs.gpu_unit_cost(**given)
    named = {1.0: "full", 0.5: "half"}
    prices: Any = made["usd_per_M"]
    found = {
        f"usd_per_M_{named.get(float(u), f'{float(u):g}')}": price
        for u, price in zip(given.get("utilisation", (1.0,)), prices, strict=True)
    }
    return {**found, "breakeven_utilisation": made["breakeven_utilisation"]}


def _tiers(given: Inputs) -> dict[str, Any]:
    tiers = given["tiers_up_to_price"]
    found = {}
    for short, model in (("vol", "volume"), ("grad", "graduated")):
        for q in given["quantities"]:
            found[f"{short}_{q}"] = tariffs.tier_bill(tiers, q, model=model)
    return found


def _packages(given: Inputs) -> dict[str, Any]:
    free = given.get("free", 0)
    return {str(q): tariffs.package_bill(price=given["price"], size=given["size"], quantity=q, free=free)
            for q in given["q"]}  # fmt: skip


def _cliff(given: Inputs) -> dict[str, Any]:
    names = ["at", "over"] if len(given["requests"]) == 2 else [str(i) for i in range(len(given["requests"]))]
    rest = {name: given[name] for name in ("in_price", "out_price", "threshold")}
    return {
        name: tariffs.context_cliff_bill(**rest, input_tokens=request[0], output_tokens=request[1])
        for name, request in zip(names, given["requests"], strict=True)
    }


def _two_part(given: Inputs) -> dict[str, Any]:
    names = sorted(name for name in given if re.fullmatch(r"Q\d+", name))
    made: Any = demand.two_part_tariff([_line(given[n]) for n in names], c=given["c"], buyers=given.get("buyers"))
    both = made["by_types_served"][-1]
    best = {"profit": made["profit"], "types_served": made["types"]}
    high = made["by_types_served"][0]["profit"]
    return {"p": both["p"], "F": both["F"], "profit_both": both["profit"], "profit_high_only": high, **best}


def _logits(given: Inputs) -> dict[str, Any]:
    made: Any = demand.multinomial_logit_optimum(**given)
    prices = {f"p{i}": price for i, price in enumerate(made["prices"], 1)}
    return {**prices, "profit": made["profit"], "shares": made["shares"]}


def _screening(given: Inputs) -> dict[str, Any]:
    coefficient = given.get("cost", "q^2/2")
    if isinstance(coefficient, str):
        top, bottom = _matched(_SQUARE, coefficient, "q^2/2")
        coefficient = float(top or 1) / float(bottom or 1)
    return demand.screening_menu(theta=given["theta"], share_high=given["share_high"], cost_coefficient=coefficient)


def _sbg(given: Inputs) -> dict[str, Any]:
    return retention.fit_sbg(survivors=given["survivors_by_year"], periods=given.get("fit_years"))


def _bgnbd(given: Inputs) -> dict[str, Any]:
    """data: path of a CSV with the columns frequency, recency and T; or the columns themselves."""
    if "frequency" in given:
        return retention.fit_bgnbd(
            frequency=given["frequency"], recency=given["recency"], age=given.get("T", given.get("age", ()))
        )
    try:
        rows = list(csv.DictReader(io.StringIO(Path(given["data"]).read_text("utf-8"))))
    except OSError as error:
        raise MintageError(
            "not_found", f"{given['data']} cannot be read: {error.strerror}.", "Give the path of the customers' CSV."
        ) from error
    names = {"frequency": "frequency", "recency": "recency", "age": "T"}
    return retention.fit_bgnbd(**{name: [float(row[column]) for row in rows] for name, column in names.items()})


def _credits(given: Inputs) -> dict[str, Any]:
    found = {}
    for order in ("earliest_expiry", "fifo"):
        made = tariffs.credit_ledger(given["events"], order=order)
        found.update({f"{name}_{order}": made[name] for name in ("breakage", "shortfall")})
    return found


def _sobol(given: Inputs) -> dict[str, Any]:
    made = risk.ishigami(a=given["a"], b=given["b"])
    named = {f"{short}{i}": value for short in ("S", "ST") for i, value in enumerate(made[short], 1)}
    return {**named, "variance": made["variance"][0]}


def _elasticity(given: Inputs) -> dict[str, Any]:
    p, q = given["p"], given["q"]
    if isinstance(q, str):
        scale, power = (float(part) for part in _matched(_POWER, q, "1000 p^-1.5"))
        q = [scale * math.pow(price, power) for price in p]
    return demand.price_elasticity(p=p, q=q)


def _uniform(given: Inputs) -> dict[str, Any]:
    return demand.uniform_wtp(**given)


_CURVES: Final = ("too_cheap", "cheap", "expensive", "too_expensive")

#: A name of the question -> how it is answered from a case's inputs.
QUESTIONS: Final[Mapping[str, Callable[[Inputs], Mapping[str, Any]]]] = {
    "own GPUs": _own_gpus,
    "graduated vs volume tiers": _tiers,
    "package pricing (ceil)": _packages,
    "whole-request context-length tier": _cliff,
    "uniform price, linear demand Q=a-bp": lambda given: demand.linear_monopoly(**given),
    "two-part tariff, one buyer of each type": _two_part,
    "logit demand optimum": lambda given: demand.logit_optimum(**given),
    "multinomial logit: equal markup": _logits,
    "second-degree discrimination (menu of 2 plans)": _screening,
    "posted price, WTP U[0,1], c=0.2": _uniform,
    "posted price, uniform WTP": _uniform,
    "reserved vs on-demand GPUs": lambda given: costs.reserve_capacity(**given),
    "discounted LTV, payment in advance": lambda given: retention.lifetime_value(**given),
    "retention curve: shifted beta-geometric": _sbg,
    "PSM with piecewise-linear curves": lambda given: research.van_westendorp(**{n: given[n] for n in _CURVES}),
    "Gabor-Granger": lambda given: research.gabor_granger(**given),
    "prepaid credits with expiry": _credits,
    "per-resolution price": lambda given: risk.outcome_pricing(**given),
    "forecast uncertainty closed form": lambda given: risk.compound_poisson(**given),
    "sensitivity engine": _sobol,
    "model cascade (FrugalGPT-style) expected cost": lambda given: costs.cascade_cost(**given),
    "estimator": _elasticity,
    "CLV: BG/NBD on CDNOW (2,357 customers)": _bgnbd,
    "CLV: BG/NBD": _bgnbd,
    "DeepSeek day": lambda given: deepseek_day(**given),
}


def _question(topic: str) -> Callable[[Inputs], Mapping[str, Any]]:
    """The topic itself, else the only one that shares its first words (up to a comma, colon or bracket)."""
    if topic in QUESTIONS:
        return QUESTIONS[topic]

    def stem(text: str) -> str:
        return re.split(r"[,:(]", text)[0].strip().lower()

    near = {id(answer): answer for name, answer in QUESTIONS.items() if stem(name) == stem(topic)}
    if len(near) != 1:
        raise MintageError("not_found", f"There is no topic {topic[:60]!r}.", f"There are {'; '.join(QUESTIONS)}.")
    return next(iter(near.values()))


def solve(topic: str, inputs: Inputs) -> dict[str, Any]:
    """Answer a named question. Raises MintageError("not_found") if there is none, "invalid_request" for bad inputs."""
    try:
        return dict(_question(topic)(inputs))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise MintageError(
            "invalid_request", f"The inputs of {topic!r} do not fit: {error}.", "Compare with the function's own help."
        ) from error
