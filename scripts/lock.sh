#!/usr/bin/env bash
# Resolve what pyproject.toml asks for into hashed, universal lock files. torch never enters them.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url "$@"; }
# What trains asks for torch, which is chosen and installed first: here it is asked for on no platform.
not_torch=$(mktemp); trap 'rm -f "$not_torch"' EXIT; echo "torch; sys_platform == 'none'" > "$not_torch"
compile pyproject.toml --group build -o requirements/core.lock
compile pyproject.toml --group build --all-extras --group test --group check --group docs --overrides "$not_torch" --no-emit-package torch -c requirements/core.lock -o requirements/dev.lock
# GPL, so never installed beside Mintage: a test puts it into an environment of its own and runs it as a process.
compile --only-binary :all: requirements/beancount.in -o requirements/beancount.lock
if grep -q '^torch==' requirements/*.lock; then echo "torch must stay out of the locks" >&2; exit 1; fi
