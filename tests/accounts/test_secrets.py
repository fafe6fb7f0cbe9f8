"""Sealed secrets: only with this home's master key, only under their own name, never in clear on disk."""

import pytest
import sqlalchemy as sa

from mintage.accounts import Accounts, MasterKey, NewKey
from mintage.accounts.tables import secrets
from mintage.base import MintageError


def refusal(action):
    with pytest.raises(MintageError) as refused:
        action()
    return refused.value.code


def test_a_secret_comes_back_and_is_replaced(accounts):
    accounts.vault.put("t", "upstream/openai", "sk-first")
    accounts.vault.put("t", "upstream/openai", "sk-sécond")
    assert accounts.vault.get("upstream/openai") == "sk-sécond"
    assert accounts.vault.names() == ["upstream/openai"]
    accounts.vault.delete("t", "upstream/openai")
    assert refusal(lambda: accounts.vault.get("upstream/openai")) == "not_found"
    assert refusal(lambda: accounts.vault.delete("t", "upstream/openai")) == "not_found"


def test_a_secret_opens_only_in_its_own_place(accounts, database):
    accounts.vault.put("t", "a", "secret-of-a")
    accounts.vault.put("t", "b", "secret-of-b")
    with database.write() as connection:
        sealed = connection.scalar(sa.select(secrets.c.sealed).where(secrets.c.name == "a"))
        connection.execute(secrets.update().where(secrets.c.name == "b").values(sealed=sealed))
    assert accounts.vault.get("a") == "secret-of-a"
    assert refusal(lambda: accounts.vault.get("b")) == "unavailable"


@pytest.mark.parametrize("position", [0, 3, 10, 25, -1])
def test_an_altered_secret_does_not_open(tmp_path, position):
    key = MasterKey.load(tmp_path)
    sealed = bytearray(key.seal("name", b"value"))
    assert key.unseal("name", bytes(sealed)) == b"value"
    sealed[position] ^= 1
    assert refusal(lambda: key.unseal("name", bytes(sealed))) == "unavailable"
    assert refusal(lambda: key.unseal("name", b"")) == "unavailable"


def test_another_master_key_does_not_open(accounts, database, clock, tmp_path):
    accounts.vault.put("t", "a", "secret")
    (tmp_path / "secret.key").unlink()
    assert refusal(lambda: Accounts(database, clock, tmp_path).vault.get("a")) == "unavailable"


def test_the_key_file_is_private_and_stays(tmp_path):
    first = MasterKey.load(tmp_path)
    file = tmp_path / "secret.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert MasterKey.load(tmp_path).id == first.id
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    file.chmod(0o644)
    assert refusal(lambda: MasterKey.load(tmp_path)) == "invalid_settings"
    file.chmod(0o600)
    file.write_bytes(b"not a key")
    assert refusal(lambda: MasterKey.load(tmp_path)) == "invalid_settings"


@pytest.mark.parametrize(("name", "value"), [("UPPER", "x"), ("", "x"), ("../x", "x"), ("a", ""), ("a", "x" * 70_000)])
def test_bad_secrets_are_refused(accounts, name, value):
    assert refusal(lambda: accounts.vault.put("t", name, value)) == "invalid_request"


def test_no_file_of_the_home_holds_a_key_or_a_secret(accounts, acme, tmp_path):
    key = accounts.keys.create("t", acme.id, NewKey()).secret
    accounts.vault.put("t", "upstream/openai", "sk-very-secret-value")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"books.db", "books.db-wal"}
    for path in files:
        content = path.read_bytes()
        assert key.encode() not in content
        assert b"sk-very-secret-value" not in content
    assert any(acme.id.encode() in path.read_bytes() for path in files)
