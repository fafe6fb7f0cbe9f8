"""`python -m mintage.pricing.schema [FILE]` publishes the schema of plan files, by default where the docs have it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from mintage.pricing.json_schema import schema_text

SCHEMA_FILE: Final = Path("docs/reference/plan.schema.json")

if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SCHEMA_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(schema_text())
