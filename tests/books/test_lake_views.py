"""What pages read of the lake: pages of requests that miss and repeat nothing, and exports that add up."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from mintage.base import MintageError
from mintage.books import Reported, UsageEvent
from mintage.books.lake import Lake
from mintage.books.lake_reports import usage_by
from mintage.books.lake_views import export_usage, request_rows

END_NS = 4 * 10**18


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "lake", threads=1)
    yield lake
    lake.close()


def export(lake, name, form, group_by, customers=None):
    return export_usage(
        lake, name, form=form, group_by=group_by, start_ns=0, end_ns=END_NS, filters={}, customers=customers or {}
    )


def test_pages_of_requests_miss_and_repeat_nothing(lake, scribe):
    scribe.business(90)
    lake.ship(scribe.entries)
    wanted = [entry.seq for entry in reversed(scribe.entries) if entry.kind == "settle"]
    found, before = [], None
    while page := request_rows(lake, {}, before_seq=before, limit=7):
        assert len(page) <= 7
        found += [row.seq for row in page]
        before = page[-1].seq
    assert found == wanted
    one = next(entry.body for entry in scribe.entries if entry.seq == wanted[0])
    row = request_rows(lake, {"tenant_id": one.tenant_id, "model": one.model}, limit=1)[0]
    assert (row.charge_nanos, row.prompt_tokens, row.completion_tokens) == (
        one.posted_nanos, one.usage.prompt_tokens, one.usage.completion_tokens,
    )  # fmt: skip
    assert row.occurred_us == one.occurred_ns // 1000


def test_requests_are_found_by_what_they_are_and_by_nothing_else(lake, scribe):
    scribe.business(60)
    lake.ship(scribe.entries)
    bodies = [entry.body for entry in scribe.entries if entry.kind == "settle"]
    tenant = bodies[0].tenant_id
    assert len(request_rows(lake, {"tenant_id": tenant}, limit=500)) == sum(b.tenant_id == tenant for b in bodies)
    middle = sorted(body.occurred_ns for body in bodies)[30]
    later = request_rows(lake, {}, start_ns=middle, limit=500)
    assert len(later) == sum(body.occurred_ns // 1000 >= middle // 1000 for body in bodies)
    assert request_rows(lake, {"tenant_id": "' OR true --"}) == []
    with pytest.raises(MintageError, match="no filter"):
        request_rows(lake, {"1=1 --": "x"})


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_export_adds_up_to_the_report(lake, scribe, form):
    import duckdb

    scribe.business(80)
    lake.ship(scribe.entries)
    path = Path(export(lake, "trial_export", form, ["day", "tenant_id", "model"]))
    reader = "read_csv(?, all_varchar = true)" if form == "csv" else "read_parquet(?)"
    rows = duckdb.execute(
        f"SELECT sum(charge::DECIMAL(38, 9)), sum(cost::DECIMAL(38, 9)), sum(requests::BIGINT) FROM {reader}",
        [str(path)],
    ).fetchall()
    report = usage_by(lake)
    nanos = Decimal(10) ** 9
    assert rows[0][0] * nanos == sum(row.charge_nanos for row in report)
    assert rows[0][1] * nanos == sum(row.cost_nanos for row in report)
    assert rows[0][2] == sum(row.rows for row in report)


def test_a_name_that_looks_like_a_formula_is_text_in_a_spreadsheet(lake, scribe):
    now_ns = scribe.now_ns
    event = UsageEvent(tenant_id="cus_1", source="test", id="1", occurred_ns=now_ns, model="=cmd|x")
    scribe.write(Reported(now_ns, event))
    lake.ship(scribe.entries)
    path = export(lake, "formula_export", "csv", ["tenant_id", "model"], {"cus_1": '+Ada, "Ltd"'})
    row = next(csv.DictReader(Path(path).read_text("utf-8").splitlines()))
    assert (row["model"], row["customer"]) == ("'=cmd|x", '\'+Ada, "Ltd"')


@pytest.mark.parametrize("name", ["../../etc/passwd", "a'b12345", "", "x" * 80])
def test_an_export_stays_in_its_folder(lake, name):
    with pytest.raises(MintageError, match="plain name"):
        export(lake, name, "csv", [])


def test_an_export_that_nobody_fetched_is_swept(lake, scribe):
    scribe.business(10)
    lake.ship(scribe.entries)
    path = Path(export(lake, "left_behind", "csv", ["model"]))
    assert path.exists()
    lake.close()
    Lake(lake.folder.parent, threads=1).close()
    assert not path.exists()
