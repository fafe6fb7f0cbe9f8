"""Both languages are complete: same keys, same blanks, nothing said outside of the catalogues."""

from __future__ import annotations

import re
import string
from html.parser import HTMLParser
from importlib import resources

import pytest

from mintage.base import STATUS_BY_CODE, MintageError
from mintage.console.i18n import LANGUAGES, choose_language, translator

ROOT = resources.files("mintage.console")
TEMPLATES = sorted((ROOT / "templates").iterdir(), key=lambda file: file.name)
SCRIPTS = sorted((ROOT / "static" / "js").iterdir(), key=lambda file: file.name)
PYTHON = [file for folder in (ROOT, ROOT / "sections") for file in folder.iterdir() if file.name.endswith(".py")]
#: Commands and protocol words, the same in every language.
VERBATIM = {"pre", "code", "kbd", "script", "style", "svg"}
SPOKEN_ATTRIBUTES = {"aria-label", "title", "placeholder", "alt", "aria-description", "aria-roledescription"}


def blanks(phrase: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(phrase) if name is not None}


def test_every_language_says_everything() -> None:
    english = translator("en").phrases
    for language in LANGUAGES:
        phrases = translator(language).phrases
        assert phrases.keys() == english.keys()
        for key, phrase in phrases.items():
            assert phrase.strip(), key
            assert blanks(phrase) == blanks(english[key]), key


def test_the_chinese_catalogue_is_chinese() -> None:
    same_everywhere = {"site.name", "site.title", "site.utc", "playground.shortcut"}
    for key, phrase in translator("zh").phrases.items():
        if key not in same_everywhere:
            without_blanks = re.sub(r"\{\w+\}", "", phrase)
            assert re.search(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", without_blanks), (key, phrase)


def used_keys() -> set[str]:
    """Keys named in full in templates, scripts and Python."""
    pattern = re.compile(r"""(?:\bt|\bsay|\bother|\breader\.t)\(\s*["']([a-z_]+\.[a-z_]+)["']""")
    conditional = re.compile(r"""["']([a-z_]+\.[a-z_]+)["'] if """)
    found: set[str] = set()
    for file in [*TEMPLATES, *SCRIPTS, *PYTHON]:
        text = file.read_text("utf-8")
        found |= set(pattern.findall(text)) | set(conditional.findall(text))
        found |= set(re.findall(r"""else ["']([a-z_]+\.[a-z_]+)["']""", text))
    return found


def composed_prefixes() -> set[str]:
    """Beginnings of keys that templates and scripts complete: t("meter." ~ name), say("site." + state)."""
    pattern = re.compile(r"""(?:\bt|\bsay|\.get)\(\s*f?["']([a-z_]+\.[a-z_]*)(?:["']\s*[~+]|\{)""")
    texts = (file.read_text("utf-8") for file in [*TEMPLATES, *SCRIPTS, *PYTHON])
    return {prefix for text in texts for prefix in pattern.findall(text)}


def test_every_key_in_use_exists_and_every_phrase_is_used() -> None:
    phrases, used, prefixes = translator("en").phrases, used_keys(), composed_prefixes()
    assert {key for key in used if not key.endswith("_")} <= phrases.keys()
    assert {"period.", "meter.", "problem."} <= prefixes
    unused = [key for key in phrases if key not in used and not key.startswith(tuple(prefixes))]
    assert unused == []


def test_scripts_get_every_phrase_that_they_say() -> None:
    carried = translator("zh").for_scripts()
    for file in SCRIPTS:
        for key in re.findall(r"""say\(\s*["']([a-z_]+\.[a-z_]+)["']""", file.read_text("utf-8")):
            if not key.endswith(("_", ".")):
                assert key in carried, (file.name, key)


class Spoken(HTMLParser):
    """Text and spoken attributes of a template whose Jinja parts were taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._verbatim += tag in VERBATIM
        self.words += [
            value for name, value in attrs if name.lstrip(":") in SPOKEN_ATTRIBUTES and value and name[0] != ":"
        ]

    def handle_endtag(self, tag: str) -> None:
        self._verbatim -= tag in VERBATIM

    def handle_data(self, data: str) -> None:
        if not self._verbatim:
            self.words.append(data)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_template_says_nothing_of_its_own(file) -> None:  # type: ignore[no-untyped-def]
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", file.read_text("utf-8"), flags=re.DOTALL)
    spoken = Spoken()
    spoken.feed(text)
    own = [word.strip() for word in spoken.words if re.search(r"[A-Za-z\u4e00-\u9fff]{2}", word)]
    assert own == []


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_says_nothing_of_its_own(file) -> None:  # type: ignore[no-untyped-def]
    """What is put before a reader comes from say(), the server or a model: never from a literal."""
    text = re.sub(r"//[^\n]*", "", file.read_text("utf-8"))
    shown = re.findall(r"""(?:textContent|innerText|title|label|placeholder)\s*[=:]\s*["'`]([^"'`]*)""", text)
    assert [literal for literal in shown if re.search(r"[A-Za-z\u4e00-\u9fff]{2}", literal)] == []
    sentences = re.findall(r"""["'`]([A-Z][a-z]+ [a-z][^"'`]*)["'`]""", text)
    assert sentences == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", STATUS_BY_CODE)
def test_every_error_is_told_in_every_language(language: str, code: str) -> None:
    t = translator(language)
    assert f"problem.{code}" in t.phrases
    details = {"balance_nanos": 5 * 10**9, "held_nanos": 10**9, "needed_nanos": 48_200, "currency": "USD"}
    told = t.problem(MintageError(code, "What happened.", details=details, retry_after_s=2.2))
    assert "{" not in told
    if code == "insufficient_funds":
        assert "$4.00" in told and "$0.0000482" in told
    if code == "rate_limited":
        assert "3" in told


def test_an_unknown_code_is_told_as_a_failure() -> None:
    error = MintageError("brand_new", "Secret detail.", status=500)
    assert translator("en").problem(error) == translator("en").phrases["problem.internal"]


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        (None, None, "en"),
        ("zh", "en", "zh"),
        ("xx", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "fr-FR,de;q=0.9", "en"),
        (None, "en;q=0.5,zh-Hans;q=0.9", "zh"),
        (None, "zh;q=0,en", "en"),
        (None, "zh;q=abc", "en"),
        (None, ";;;,,q=,=", "en"),
        (None, ",".join(["fr"] * 50 + ["zh"]), "en"),
    ],
)
def test_the_language_is_the_readers_choice(cookie: str | None, header: str | None, language: str) -> None:
    assert choose_language(cookie, header) == language
