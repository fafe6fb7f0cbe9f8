import pytest

from mintage.accounts import Accounts, NewTenant
from mintage.base import ManualClock
from mintage.books import Database


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path / "books.db")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def accounts(database, clock, tmp_path):
    accounts = Accounts(database, clock, tmp_path)
    accounts.entities.ensure("Mint & Co", "USD")
    return accounts


@pytest.fixture
def acme(accounts):
    return accounts.tenants.add("test", NewTenant(name="Acme Labs"), currency="USD")


@pytest.fixture
def rival(accounts):
    return accounts.tenants.add("test", NewTenant(name="Rival"), currency="USD")
