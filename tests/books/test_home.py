import os
import subprocess
import sys
from pathlib import Path

import pytest

from mintage.base import MintageError
from mintage.books import Home, ServerAddress

HOLD = """
import sys
from pathlib import Path
from mintage.books import Home
Home(Path(sys.argv[1])).lock()
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "locked\n"
    home = Home(tmp_path)
    assert home.in_use()
    with pytest.raises(MintageError) as caught:
        home.lock()
    assert caught.value.code == "home_locked"
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert not home.in_use()
    home.lock()
    home.unlock()


def test_the_servers_address_is_for_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    home.create()
    address = ServerAddress(url="http://127.0.0.1:1", pid=os.getpid(), admin_token="secret")
    home.announce(address)
    assert home.server() == address
    assert (home.path / "server.json").stat().st_mode & 0o777 == 0o600
    assert home.path.stat().st_mode & 0o777 == 0o700
    home.withdraw()
    assert home.server() is None


def test_a_torn_address_is_no_address(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"url": "ht')
    assert Home(tmp_path).server() is None
