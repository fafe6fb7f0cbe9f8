"""Wikipedia's dumps (pages-articles.xml.bz2): articles as plain text, with their address and licence.

Format: https://www.mediawiki.org/wiki/Help:Export. Entities that a file declares for itself are refused: that
is how XML bombs are made, and no dump has any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mintage.factory.corpus.documents import Document
from mintage.factory.corpus.streams import BrokenError, Limits, open_bytes

LICENCE: Final = "CC-BY-SA-4.0"
_ARTICLES: Final = "0"
_CUT: Final = (3, 5, 6)  # expat: the text ended before an element, a token or a character did
_NOT_PROSE: Final = ("ref", "table", "gallery", "math", "timeline")


def wikipedia(file: Path, limits: Limits, left: Counter[str], *, source: str) -> Iterator[Document]:
    """Pages of the article namespace that redirect nowhere, in the order of the dump."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    with open_bytes(file, limits) as stream:
        try:
            base, path = "", []
            for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
                name = element.tag.rpartition("}")[2]
                if event == "start":
                    path.append(element)
                    continue
                path.pop()
                if name == "base":
                    base = (element.text or "").rpartition("/")[0]
                elif name == "page":
                    yield from _article(element, base, limits, left, source)
                    if path:
                        path[-1].clear()  # or the whole dump would stay in memory
        except ParseError as error:
            raise BrokenError("truncated" if error.code in _CUT else "corrupt") from error
        except DefusedXmlException as error:
            raise BrokenError("bomb") from error


def _article(page: object, base: str, limits: Limits, left: Counter[str], source: str) -> Iterator[Document]:
    import mwparserfromhell

    fields = {child.tag.rpartition("}")[2]: child for child in page}  # type: ignore[attr-defined]
    if fields["ns"].text != _ARTICLES if "ns" in fields else False:
        left["not_an_article"] += 1
        return
    if "redirect" in fields:
        left["redirect"] += 1
        return
    title = (fields["title"].text or "") if "title" in fields else ""
    wikitext = ""
    for child in fields.get("revision", ()):
        if child.tag.rpartition("}")[2] == "text":
            wikitext = child.text or ""
    if not wikitext or len(wikitext) > limits.document_characters_max:
        left["too_large" if wikitext else "empty"] += 1
        return
    parsed = mwparserfromhell.parse(wikitext)
    for tag in parsed.filter_tags(matches=lambda node: node.tag in _NOT_PROSE):
        with suppress(ValueError):  # it stood within one that is gone
            parsed.remove(tag)
    text = parsed.strip_code(normalize=True, collapse=True).strip()
    number = fields["id"].text if "id" in fields else title
    url = f"{base}/{quote(title.replace(' ', '_'), safe='/:,()')}" if base else ""
    yield Document(f"{source}:{number}", f"{title}\n\n{text}", source, LICENCE, url)
