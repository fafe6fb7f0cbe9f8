#!/usr/bin/env bash
# `make bench`: one ratio table per topic, each measured side by side in one run. Topics as arguments run only those.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
topics=("$@")
((${#topics[@]})) || topics=(codecs rating commit_log ledger_lake usage_explorer local_engine gateway)
failed=()
for topic in "${topics[@]}"; do
  printf '\n## %s\n\n' "$topic"
  if [ "$topic" = gateway ]; then
    bash benchmarks/setup.sh || { failed+=("$topic"); continue; }
  fi
  "$python" "benchmarks/$topic.py" || failed+=("$topic")
done
if ((${#failed[@]})); then
  echo "These could not be measured: ${failed[*]}" >&2
  exit 1
fi
