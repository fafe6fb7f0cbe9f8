"""The pages' words: one catalogue per language, as data in locales/.

A phrase is looked up by key ("statement.revenue") and its {braces} are filled in. A missing key is a programming error
and raises KeyError; tests compare the catalogues with each other and with every key that templates and scripts use.
"""

from __future__ import annotations

import math
import tomllib
from functools import cache
from importlib import resources
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.console.figures import money

#: Cookie that remembers the reader's choice.
LANGUAGE_COOKIE: Final = "mintage_language"
DEFAULT_LANGUAGE: Final = "en"
LANGUAGES: Final[tuple[str, ...]] = ("en", "zh")
_TAGS: Final = {"en": "en", "zh": "zh-Hans"}
#: Phrases that scripts show. The page carries these and no others.
_SCRIPT_SECTIONS: Final = ("site.theme_", "site.live", "site.offline", "site.connecting", "playground.",
                           "bench.at_most", "bench.done", "chart.hint",
                           "error.network", "error.stream_cut", "sign_in.copied")  # fmt: skip
_ACCEPT_LIMIT: Final = 16


class Translator(msgspec.Struct, frozen=True):
    """All phrases of one language. tag is its BCP 47 name, for the html element."""

    language: str
    tag: str
    phrases: dict[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        phrase = self.phrases[key]
        return phrase.format_map(values) if values else phrase

    def meter(self, name: str) -> str:
        """A meter's name for people; its own name where a plan brings one that we do not know."""
        return self.phrases.get(f"meter.{name}", name)

    def problem(self, error: MintageError) -> str:
        """What went wrong, in this language, by the error's code."""
        details, currency = error.details, str(error.details.get("currency", ""))
        values: dict[str, object] = {"message": error.message, "seconds": math.ceil(error.retry_after_s or 1)}
        if error.code == "insufficient_funds":
            balance, held, needed, limit = (
                int(str(details.get(name, 0)))
                for name in ("balance_nanos", "held_nanos", "needed_nanos", "credit_limit_nanos")
            )
            values["available"] = money(balance + limit - held, currency).text
            values["needed"] = money(needed, currency).text
        return self.phrases.get(f"problem.{error.code}", self.phrases["problem.internal"]).format_map(values)

    def for_scripts(self) -> dict[str, str]:
        return {key: phrase for key, phrase in self.phrases.items() if key.startswith(_SCRIPT_SECTIONS)}


@cache
def translator(language: str) -> Translator:
    """The catalogue of a language in LANGUAGES. Raises KeyError for any other."""
    tag = _TAGS[language]
    text = (resources.files("mintage.console") / "locales" / f"{language}.toml").read_text("utf-8")
    sections: dict[str, dict[str, str]] = tomllib.loads(text)
    phrases = {f"{section}.{name}": phrase for section, names in sections.items() for name, phrase in names.items()}
    return Translator(language, tag, phrases)


def choose_language(cookie: str | None, accept_language: str | None) -> str:
    """The reader's own choice, else the browser's first language that we speak, else English."""
    if cookie in LANGUAGES:
        return cookie
    wishes: list[tuple[float, int, str]] = []
    for position, item in enumerate((accept_language or "").split(",")[:_ACCEPT_LIMIT]):
        tag, _, parameters = item.strip().partition(";")
        wishes.append((-_quality(parameters), position, tag.strip().lower().partition("-")[0]))
    for quality, _, language in sorted(wishes):
        if quality < 0 and language in LANGUAGES:
            return language
    return DEFAULT_LANGUAGE


def _quality(parameters: str) -> float:
    """The q of `q=0.8`; 1 if absent; 0 if malformed, so that a broken header never wins."""
    name, _, value = parameters.strip().partition("=")
    if not name:
        return 1.0
    try:
        return min(1.0, max(0.0, float(value))) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
