"""Scores equal those that the metrics' own authors publish; `mintage evaluate score` is the door."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mintage.base import MintageError
from mintage.cli.main import app
from mintage.factory import METRICS, ScoreOptions, read_segments, score

CASES = json.loads((Path(__file__).parent / "evaluation_cases.json").read_text())
WORDS = st.lists(st.text("abc 学习。", max_size=20), min_size=1, max_size=6)


def arguments(case):
    """A case's parameters as the command's options."""
    said = []
    for name, value in case["params"].items():
        if name == "smooth":
            method, _, amount = value.partition(" ")
            said += ["--smooth", method, *(["--smooth-value", amount] if amount else [])]
        elif name == "raw":
            said += (
                ["--tokenize", "none", "--effective-order"]
                if "tokenize" not in case["params"]
                else ["--effective-order"]
            )
        elif name == "keep_ws":
            said.append("--whitespace")
        elif value is True:
            said.append(f"--{name.replace('_', '-')}")
        else:
            said += [f"--{name.replace('_', '-')}", str(value)]
    return said


def run(tmp_path, metric, hypotheses, references, *options):
    """(exit code, the JSON object)"""
    (tmp_path / "hyp").write_text("\n".join(hypotheses) + "\n")
    files = []
    for number, stream in enumerate(references):
        (tmp_path / f"ref{number}").write_text("\n".join(stream) + "\n")
        files += ["--references", str(tmp_path / f"ref{number}")]
    command = ["evaluate", "score", "--metric", metric, "--hypotheses", str(tmp_path / "hyp"), *files, *options]
    done = CliRunner().invoke(app, [*command, "--json"])
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_published_cases(tmp_path, case):
    code, said = run(tmp_path, case["metric"], case["hyps"], case["refs"], *arguments(case))
    assert code == 0, said
    assert said["score"] == pytest.approx(case["expected"], abs=case["tol"])
    assert said["segments"] == len(case["hyps"])


def test_chinese_is_not_one_word(tmp_path):
    said, right = ["我们今天去学校学习"], [["我们今天去学校读书"]]
    for metric in ("bleu", "rouge1", "ter"):
        _, plain = run(tmp_path, metric, said, right)
        _, chinese = run(tmp_path, metric, said, right, "--lang", "zh")
        assert plain["score"] in (0.0, 100.0)  # all or nothing, whatever was written
        assert 0 < chinese["score"] < 100 and chinese["score"] != plain["score"], metric
        assert plain["signature"] != chinese["signature"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_perfect_text_is_perfect(metric, lang):
    text = ["The cat sat on the mat today.", "猫今天坐在垫子上面了。the end of it all"]
    perfect = {"bleu": 100.0, "chrf": 100.0, "ter": 0.0}.get(metric, 1.0)
    assert score(metric, text, [["other words", "x"], text] if metric not in ("accuracy", "f1") else [text],
                 ScoreOptions(lang=lang)).score == pytest.approx(perfect)  # fmt: skip


@given(WORDS, st.data())
def test_ranges(hypotheses, data):
    truth = data.draw(st.lists(st.text("abc 学习。", max_size=20), min_size=len(hypotheses), max_size=len(hypotheses)))
    for metric in METRICS:
        found = score(metric, hypotheses, [truth]).score
        assert 0 <= found <= (100 + 1e-9 if metric in ("bleu", "chrf") else float("inf") if metric == "ter" else 1)


def test_macro_f1_counts_a_rare_label_as_much_as_a_common_one():
    # Labels a, a, b; said a, a, a: F of a is 2*2/(3+2) = 0.8, F of b is 0.
    report = score("f1", ["a", "a", "a"], [["a", "a", "b"]])
    assert report.score == pytest.approx(0.4)
    assert report.details["micro_f1"] == pytest.approx(2 / 3)
    assert score("accuracy", ["a", "a", "a"], [["a", "a", "b"]]).score == pytest.approx(2 / 3)


def test_summaries_by_sentence(tmp_path):
    """A summary whose sentences change places keeps its score: rougeLsum looks at sentences, rougeL at the whole."""
    said, right = [r"the dog barks\nthe cat sleeps"], [[r"the cat sleeps\nthe dog barks"]]
    _, by_sentence = run(tmp_path, "rougeLsum", said, right)
    _, whole = run(tmp_path, "rougeL", said, right)
    assert by_sentence["score"] == pytest.approx(1.0)
    assert whole["score"] < 0.7


@pytest.mark.parametrize(
    ("metric", "options", "code", "word"),
    [
        ("blue", [], "invalid_request", "metric"),
        ("bleu_f", [], "invalid_request", "metric"),
        ("bleu", ["--stemmer"], "invalid_request", "stemmer"),
        ("bleu", ["--tokenize", "jieba"], "invalid_request", "tokenizer"),
        ("bleu", ["--smooth", "soft"], "invalid_request", "smooth"),
        ("rouge1", ["--lang", "zh", "--stemmer"], "invalid_request", "stemmer"),
        ("chrf", ["--char-order", "0"], "invalid_request", "char_order"),
    ],
)
def test_bad_questions_name_what_is_wrong(tmp_path, metric, options, code, word):
    status, said = run(tmp_path, metric, ["a"], [["a"]], *options)
    assert status == 2
    assert said["error"]["code"] == code
    assert word in said["error"]["detail"] + said["error"]["hint"]


def test_files_that_do_not_fit_are_refused(tmp_path):
    status, said = run(tmp_path, "bleu", ["a", "b"], [["a"]])
    assert status == 2
    assert "1 segments" in said["error"]["detail"]
    (tmp_path / "bad").write_bytes(b"fine\n\xff\xfe\n")
    with pytest.raises(MintageError, match="Line 2"):
        read_segments(tmp_path / "bad")
    with pytest.raises(MintageError, match="cannot be read"):
        read_segments(tmp_path / "missing")


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=9), max_size=6))
def test_every_line_is_a_segment(tmp_path_factory, lines):
    """Unicode's other line ends belong to the text: a file that others split at LF must not fall out of step here."""
    file = tmp_path_factory.mktemp("segments") / "file"
    file.write_bytes("".join(f"{line}\n" for line in lines).encode())
    expected = lines.copy()
    if expected:
        expected[0] = expected[0].removeprefix("\ufeff")
    assert read_segments(file) == expected
