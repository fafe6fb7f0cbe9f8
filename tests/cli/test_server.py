"""One writer per home: commands go through a running server, and are told when they cannot."""

import fcntl
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from tests.cli.conftest import Running

from mintage.base import MintageError
from mintage.books import Home, ServerAddress
from mintage.cli import exits


def test_commands_go_through_the_server_that_holds_the_lock(cli, home):
    with Running(home) as server:
        tenant = cli.ok("customers", "add", "Acme")
        assert server.app.accounts.tenants.get("acme").id == tenant["id"]
        assert cli.ok("staff", "link")["url"].startswith(server.url)
        with pytest.raises(MintageError) as refused:
            Home(home).lock()
        assert refused.value.code == "home_locked"
    assert not (home / "server.json").exists()
    assert cli.ok("customers", "show", "acme")["id"] == tenant["id"]


def test_a_locked_home_without_a_server_is_told(cli, home):
    holder = Home(home)
    holder.lock()
    try:
        exit_code, problem = cli.fails("customers", "list")
        assert (exit_code, problem["code"]) == (exits.REFUSED, "home_locked")
        assert problem["hint"]
    finally:
        holder.unlock()
    assert cli.ok("customers", "list")["items"] == []


def test_a_server_that_does_not_answer_is_told(cli, home):
    holder = Home(home)
    holder.lock()
    holder.announce(ServerAddress(url="http://127.0.0.1:9", pid=os.getpid(), admin_token="t"))
    try:
        exit_code, problem = cli.fails("customers", "list")
        assert (exit_code, problem["code"]) == (exits.REFUSED, "home_locked")
        assert str(os.getpid()) in problem["detail"]
    finally:
        holder.withdraw()
        holder.unlock()


def test_an_announcement_that_a_crash_left_behind_is_ignored(cli, home):
    dead = Home(home)
    dead.create()
    dead.announce(ServerAddress(url="http://127.0.0.1:9", pid=1, admin_token="t"))
    assert cli.ok("customers", "list")["items"] == []


def test_the_token_file_is_private(cli, home):
    with Running(home):
        assert (home / "server.json").stat().st_mode & 0o077 == 0
        assert home.stat().st_mode & 0o077 == 0


def test_ctrl_c_ends_a_server_cleanly_and_frees_the_home(cli, home):
    environ = {**os.environ, "MINTAGE_PORT": "0", "MINTAGE_HOME": str(home)}
    script = str(pathlib.Path(sys.executable).parent / "mintage")
    process = subprocess.Popen(
        [script, "serve"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Serving "):
                break
        assert cli.ok("customers", "add", "Acme")["handle"] == "acme"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == exits.OK
    assert "Traceback" not in err
    with (home / "home.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert cli.ok("customers", "show", "acme")["name"] == "Acme"
