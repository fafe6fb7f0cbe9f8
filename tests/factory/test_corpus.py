"""Small files written exactly as the big ones are published; broken and hostile ones are counted, never believed."""

import bz2
import gzip
import io
import json
import lzma
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.factory.corpus import FORMATS, SCHEMA, Limits, Tally, documents, read_corpus

WIKI = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="zh">
  <siteinfo><sitename>Wikipedia</sitename><base>https://zh.wikipedia.org/wiki/Wikipedia:Home</base></siteinfo>
  <page><title>数学</title><ns>0</ns><id>13</id><revision><id>7</id>
    <text bytes="9" xml:space="preserve">'''数学'''是研究[[数量]]的[[学科|科学]]。{{消歧义}}&lt;ref&gt;x&lt;/ref&gt;
    </text>
  </revision></page>
  <page><title>Maths</title><ns>0</ns><id>14</id><redirect title="数学" />
    <revision><id>8</id><text>#REDIRECT</text></revision></page>
  <page><title>Talk:数学</title><ns>1</ns><id>15</id><revision><id>9</id><text>chat</text></revision></page>
</mediawiki>"""


def tar_of(members, mode="w"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def pile(rows):
    raw = "".join(json.dumps({"text": text, "meta": {"pile_set_name": name}}) + "\n" for text, name in rows).encode()
    return zstandard.ZstdCompressor().compress(raw[: len(raw) // 2]) + zstandard.compress(raw[len(raw) // 2 :])


def read(tmp_path, form, name, raw, limits=None):
    (tmp_path / name).write_bytes(raw)
    tally = Tally("read")
    found = list(documents(read_corpus([tmp_path / name], form, tally, limits)))
    assert tally.documents_out == len(found)
    assert tally.characters_out == sum(len(document.text) for document in found)
    return found, dict(tally.left)


def test_the_pile(tmp_path):
    found, left = read(tmp_path, "pile", "00.jsonl.zst", pile([("one", "Pile-CC"), ("二", "Github"), (" ", "x")]))
    assert [(d.text, d.source) for d in found] == [("one", "pile/Pile-CC"), ("二", "pile/Github")]
    assert left == {"empty": 1}


def test_c4(tmp_path):
    row = {"text": "hello", "timestamp": "2019-04-25T12:57:54Z", "url": "https://example.com/a"}
    raw = gzip.compress((json.dumps(row) + "\n{broken\n" + json.dumps({"no": "text"}) + "\n").encode())
    found, left = read(tmp_path, "c4", "c4-train.00000-of-01024.json.gz", raw)
    assert [(d.text, d.url, d.source) for d in found] == [("hello", "https://example.com/a", "c4")]
    assert left == {"not_a_document": 2}


def test_bookcorpus(tmp_path):
    raw = "".join(f"sentence {i} .\n" for i in range(1000)).encode()
    found, left = read(tmp_path, "bookcorpus", "books_large_p1.txt", raw)
    assert [(d.id, d.text.count("\n") + 1) for d in found] == [
        ("books_large_p1.txt:1", 512),
        ("books_large_p1.txt:513", 488),
    ]
    assert left == {}


@pytest.mark.parametrize("nested", [True, False])
def test_openwebtext(tmp_path, nested):
    texts = [("0001-a.txt", b"first page"), ("../../etc/0002-b.txt", "第二页".encode()), ("c.bin", b"\x00")]
    if nested:
        inner = lzma.compress(tar_of(texts))
        texts = [("openwebtext/urlsf_subset00-1_data.xz", inner), ("openwebtext/urlsf_subset00-2_data.xz", inner[:60])]
    found, left = read(tmp_path, "openwebtext", "openwebtext.tar.xz", lzma.compress(tar_of(texts)))
    assert [d.text for d in found] == ["first page", "第二页"]
    assert left == ({"not_text": 1, "truncated": 1} if nested else {"not_text": 1})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["openwebtext.tar.xz"]  # nothing was unpacked to disk


def test_wikipedia(tmp_path):
    found, left = read(tmp_path, "wikipedia", "zhwiki-pages-articles.xml.bz2", bz2.compress(WIKI.encode()))
    (article,) = found
    assert article.text == "数学\n\n数学是研究数量的科学。"
    assert (article.id, article.licence) == ("wikipedia:13", "CC-BY-SA-4.0")
    assert article.url == "https://zh.wikipedia.org/wiki/%E6%95%B0%E5%AD%A6"
    assert left == {"redirect": 1, "not_an_article": 1}


def test_parquet(tmp_path):
    pq.write_table(pa.table({"text": ["a", None, "b"], "url": ["u", "v", None]}), tmp_path / "x.parquet")
    found, left = read(tmp_path, "parquet", "x.parquet", (tmp_path / "x.parquet").read_bytes())
    assert [(d.text, d.url) for d in found] == [("a", "u"), ("b", "")]
    assert left == {"not_a_document": 1}


def test_a_folder_is_read_in_order_and_only_its_own_format(tmp_path):
    for name in ("b.txt", "a.txt", "c.pdf"):
        (tmp_path / name).write_text(name)
    tally = Tally("read")
    (batch,) = read_corpus([tmp_path], "text", tally)
    assert batch.column("text").to_pylist() == ["a.txt", "b.txt"]
    assert tuple(batch.schema.names) == SCHEMA
    assert tally.did_nothing  # a reader that leaves nothing out is fine; a filter that does is suspect


@pytest.mark.parametrize(
    ("form", "name", "raw", "reason"),
    [
        ("pile", "a.jsonl.zst", pile([("x" * 5000, "p")] * 9)[:-20], "truncated"),
        ("c4", "a.json.gz", gzip.compress(b'{"text": "a"}\n' * 9999, mtime=0)[:-9], "truncated"),
        ("wikipedia", "a.xml.bz2", bz2.compress(WIKI.encode()[:400]), "truncated"),
        ("wikipedia", "b.xml", b'<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>', "bomb"),
        ("c4", "b.json.gz", gzip.compress(b'{"text": "a"}\n', mtime=0)[:-8] + bytes(8), "corrupt"),
        ("jsonl", "c.jsonl.zst", b"garbage", "corrupt"),
        ("parquet", "a.parquet", b"PAR1garbagePAR1", "corrupt"),
        ("openwebtext", "a.tar", tar_of([("a.txt", b"x" * 9000)])[:3000], "truncated"),
        ("jsonl", "utf.jsonl", b'{"text": "\xff"}\n', "not_utf8"),
        ("text", "utf.txt", b"\xff\xfe\x00", "not_utf8"),
    ],
)
def test_broken_files_are_counted_with_their_reason(tmp_path, form, name, raw, reason):
    found, left = read(tmp_path, form, name, raw)
    assert left == {reason: 1}
    assert all(document.text for document in found)


@pytest.mark.parametrize("pack", [(gzip.compress, ".gz"), (zstandard.compress, ".zst"), (lzma.compress, ".xz")])
def test_a_bomb_is_stopped_early(tmp_path, pack):
    compress, ending = pack
    raw = compress(bytes(80 << 20))  # 80 MB of nothing in a few KB
    found, left = read(tmp_path, "jsonl", f"bomb.jsonl{ending}", raw, Limits(line_bytes_max=1 << 20, ratio_max=10))
    assert found == []
    assert left.pop("bomb") == 1


def test_huge_lines_and_documents_are_left_out_and_the_next_ones_kept(tmp_path):
    raw = b'{"text": "' + b"x" * 5000 + b'"}\n{"text": "yyyyyyyyyyyy"}\n{"text": "z"}\n'
    found, left = read(tmp_path, "jsonl", "a.jsonl", raw, Limits(line_bytes_max=4096, document_characters_max=10))
    assert [document.text for document in found] == ["z"]
    assert left == {"line_too_long": 1, "too_large": 1}


@given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=300), st.sampled_from(["", ".gz", ".zst", ".xz", ".bz2"]))
def test_no_bytes_raise_anything(tmp_path_factory, form, raw, ending):
    file = tmp_path_factory.mktemp("fuzz") / f"file{ending}"
    file.write_bytes(raw)
    for document in documents(read_corpus([file], form, Tally("read"))):
        assert document.text.strip()


def test_what_is_asked_for_must_exist(tmp_path):
    for paths, form, word in (
        ([tmp_path], "pile", "jsonl.zst"),
        ([tmp_path / "no"], "c4", "path"),
        ([], "word", "pile"),
    ):
        with pytest.raises(MintageError) as raised:
            list(read_corpus(paths, form, Tally("read")))
        assert word in raised.value.hint
