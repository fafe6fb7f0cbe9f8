"""Saved views: each person's own, kept by name, limited."""

import pytest

from mintage.accounts.saved_views import VIEWS_MAX
from mintage.base import MintageError


def test_a_view_is_kept_renewed_by_its_name_and_deleted(accounts):
    accounts.views.save("stf_1", "usage", "This month", "by=model")
    renewed = accounts.views.save("stf_1", "usage", "This month", "by=day")
    accounts.views.save("stf_1", "usage", "All", "")
    accounts.views.save("stf_1", "requests", "Failed", "outcome=failed")
    assert [(view.name, view.query) for view in accounts.views.list("stf_1", "usage")] == [
        ("All", ""), ("This month", "by=day"),
    ]  # fmt: skip
    assert accounts.views.delete("stf_1", renewed.id) == renewed
    assert [view.name for view in accounts.views.list("stf_1", "usage")] == ["All"]


def test_nobody_sees_or_deletes_anothers_view(accounts):
    view = accounts.views.save("stf_1", "usage", "Mine", "by=model")
    assert accounts.views.list("stf_2", "usage") == []
    with pytest.raises(MintageError) as refused:
        accounts.views.delete("stf_2", view.id)
    assert refused.value.code == "not_found"
    assert accounts.views.list("stf_1", "usage") == [view]


def test_views_have_limits(accounts):
    for number in range(VIEWS_MAX):
        accounts.views.save("stf_1", "usage", f"View {number}", "")
    with pytest.raises(MintageError) as many:
        accounts.views.save("stf_1", "usage", "One more", "")
    assert many.value.code == "conflict"
    accounts.views.save("stf_1", "usage", "View 3", "by=day")
    with pytest.raises(MintageError, match="too long"):
        accounts.views.save("stf_2", "usage", "Long", "x" * 2_000)
    with pytest.raises(MintageError):
        accounts.views.save("stf_2", "usage", "   ", "")
