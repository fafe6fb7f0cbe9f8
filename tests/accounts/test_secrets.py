"""Sealed secrets: only with this home's master key, only under their own name, never in clear on disk."""

import pytest
import sqlalchemy as sa

from mintage.accounts import Accounts, NewKey, new_key_text
from mintage.accounts.master import MasterKeys, SealingKey
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
def test_an_altered_secret_does_not_open(position):
    key = SealingKey(bytes(32))
    sealed = bytearray(key.seal("name", b"value"))
    assert key.unseal("name", bytes(sealed)) == b"value"
    sealed[position] ^= 1
    assert refusal(lambda: key.unseal("name", bytes(sealed))) == "unavailable"
    assert refusal(lambda: key.unseal("name", b"")) == "unavailable"


def test_another_master_key_does_not_open_and_a_lost_one_is_not_made_anew(accounts, database, clock, tmp_path):
    accounts.vault.put("t", "a", "secret")
    file = tmp_path / "secret.key"
    kept = file.read_text()
    file.unlink()
    assert refusal(lambda: Accounts(database, clock, tmp_path).vault.get("a")) == "unavailable"
    assert not file.exists()
    file.write_text(new_key_text())
    file.chmod(0o600)
    assert refusal(lambda: Accounts(database, clock, tmp_path).vault.get("a")) == "unavailable"
    file.write_text(kept)
    assert Accounts(database, clock, tmp_path).vault.get("a") == "secret"


def test_the_key_file_is_private_and_stays(tmp_path):
    master = MasterKeys("file", tmp_path)
    assert refusal(master.keys) == "unavailable"
    [(first, _)] = master.keys(make=True)
    file = tmp_path / "secret.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert master.keys(make=True)[0][0].id == first.id
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    file.chmod(0o644)
    assert refusal(master.keys) == "invalid_settings"
    file.chmod(0o600)
    file.write_bytes(b"not a key")
    assert refusal(master.keys) == "invalid_settings"


def test_a_rotation_changes_every_key_and_loses_nothing(accounts, database, clock, tmp_path):
    accounts.vault.put("t", "a", "secret-a")
    elsewhere = accounts.vault.seal("registry/upstream", b"kept by another room")
    before, old_file = accounts.vault.state(), (tmp_path / "secret.key").read_text()
    done = accounts.vault.rotate("t")
    assert (done.master_changed, done.resealed) == (True, 1)
    assert (tmp_path / "secret.key").read_text() != old_file
    for vault in (accounts.vault, Accounts(database, clock, tmp_path).vault):
        assert vault.get("a") == "secret-a"
        assert vault.unseal("registry/upstream", elsewhere) == b"kept by another room"
        assert vault.state().master_key != before.master_key
    (tmp_path / "secret.key").write_text(old_file)  # whoever kept the old one opens nothing any more
    assert refusal(lambda: Accounts(database, clock, tmp_path).vault.get("a")) == "unavailable"


def test_a_crash_in_a_rotation_leaves_a_home_that_opens(accounts, database, clock, tmp_path, monkeypatch):
    accounts.vault.put("t", "a", "secret-a")
    write = MasterKeys.write

    def cut(self, texts):
        write(self, texts)
        raise OSError("the power went")

    monkeypatch.setattr(MasterKeys, "write", cut)
    with pytest.raises(OSError, match="power"):
        accounts.vault.rotate("t")
    monkeypatch.undo()
    again = Accounts(database, clock, tmp_path)
    assert again.vault.get("a") == "secret-a"
    assert again.vault.rotate("t").master_changed
    assert Accounts(database, clock, tmp_path).vault.get("a") == "secret-a"
    assert len((tmp_path / "secret.key").read_text().split()) == 1


@pytest.mark.parametrize("kind", ["env", "command"])
def test_the_master_key_may_live_elsewhere(database, clock, tmp_path, monkeypatch, kind):
    file = tmp_path / "elsewhere"

    def give(text):
        monkeypatch.setenv("TEST_MASTER_KEY", text)
        file.write_text(text)

    source = "env:TEST_MASTER_KEY" if kind == "env" else f"command:/bin/cat {file}"
    first, second = new_key_text(), new_key_text()
    give(first)
    vault = Accounts(database, clock, tmp_path, master_key=source).vault
    vault.put("t", "a", "secret-a")
    assert not (tmp_path / "secret.key").exists()
    assert not vault.rotate("t").master_changed  # the same key comes first: only a new data key
    give(f"{second} {first}")
    assert vault.rotate("t").master_changed
    give(second)
    assert Accounts(database, clock, tmp_path, master_key=source).vault.get("a") == "secret-a"
    give(first)
    assert refusal(lambda: Accounts(database, clock, tmp_path, master_key=source).vault.get("a")) == "unavailable"


@pytest.mark.parametrize(
    "source", ["", "vault", "env:", "env:NOT_SET_ANYWHERE", "command:/nowhere/x", "command:/bin/false"]
)
def test_a_master_key_that_cannot_be_had_is_refused(database, clock, tmp_path, source):
    code = refusal(lambda: Accounts(database, clock, tmp_path, master_key=source).vault.put("t", "a", "x"))
    assert code in ("invalid_settings", "unavailable")


def test_values_of_a_home_from_before_data_keys_still_open(database, clock, tmp_path):
    [(master, _)] = MasterKeys("file", tmp_path).keys(make=True)
    sealed = master.seal("registry/upstream", b"old")
    vault = Accounts(database, clock, tmp_path).vault
    assert vault.unseal("registry/upstream", sealed) == b"old"
    vault.rotate("t")
    assert Accounts(database, clock, tmp_path).vault.unseal("registry/upstream", sealed) == b"old"


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
