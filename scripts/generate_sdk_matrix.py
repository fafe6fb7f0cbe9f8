"""Writes docs/reference/sdk-matrix.md from a run of the SDK tests: `python scripts/generate_sdk_matrix.py`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "reference" / "sdk-matrix.md"
#: Test module -> the SDK that it drives.
MODULES: Final = {
    "test_openai_python": ("openai, Python", "openai"),
    "test_openai_rest_python": ("openai, Python", "openai"),
    "test_openai_js": ("openai, JavaScript", None),
    "test_anthropic_python": ("anthropic, Python", "anthropic"),
    "test_anthropic_js": ("@anthropic-ai/sdk, JavaScript", None),
    "test_google_python": ("google-genai, Python", "google-genai"),
    "test_google_js": ("@google/genai, JavaScript", None),
    "test_batches": ("openai and anthropic, Python", "openai"),
    "test_reports": ("openai, Python", "openai"),
}
HEAD: Final = """# SDKs, operation by operation

Written by `scripts/generate_sdk_matrix.py` from a run of the tests: each drives the vendor's own SDK, unmodified,
against a whole Mintage over real sockets. Whole answers and streams, plans that pass bytes and plans that shape
answers, and each class of error are cases of one line.

"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        files = [str(ROOT / "tests" / "acceptance" / f"{module}.py") for module in MODULES]
        subprocess.run([sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *files], cwd=ROOT, check=False)
        cases = ET.parse(report).getroot().iter("testcase")
        counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for case in cases:
            module = case.get("classname", "").rpartition(".")[2]
            operation = case.get("name", "").partition("[")[0].removeprefix("test_").replace("_", " ")
            failed = case.find("failure") is not None or case.find("error") is not None
            counts[MODULES[module][0], operation][failed] += 1
    lines = ["| SDK | what | cases | |", "|---|---|---|---|"]
    lines += [
        f"| {sdk} | {operation} | {passed + failed} | {f'{failed} failed' if failed else 'pass'} |"
        for (sdk, operation), (passed, failed) in sorted(counts.items())
    ]
    python = ", ".join(f"{name} {version(name)}" for name in ("openai", "anthropic", "google-genai"))
    lines += ["", f"Python: {python}. JavaScript: `tests/acceptance/js/package.json`."]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
