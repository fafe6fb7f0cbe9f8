#!/usr/bin/env bash
# What the benchmarks need beside Mintage: nginx and wrk (Debian), two small C programs, and LiteLLM in its own venv.
# LiteLLM is 0.7 GB: leave it out with BENCH_LITELLM=0.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.benchmarks/bin
mkdir -p "$bin"

missing=()
command -v wrk >/dev/null || missing+=(wrk)
[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || missing+=(nginx-light)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
if ((${#missing[@]})); then
  if ! command -v apt-get >/dev/null; then
    echo "Please install: ${missing[*]}, then run this again." >&2
    exit 1
  fi
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

for program in upstream streams; do
  source=benchmarks/upstream/$program.c
  [ "$bin/$program" -nt "$source" ] || cc -O2 -Wall -o "$bin/$program" "$source"
done

if [ "${BENCH_LITELLM:-1}" != 0 ] && [ ! -x .benchmarks/litellm/bin/litellm ]; then
  echo "Installing LiteLLM into .benchmarks/litellm ..."
  "${PYTHON:-.venv/bin/python}" -m venv .benchmarks/litellm
  .benchmarks/litellm/bin/python -m pip --quiet --disable-pip-version-check install "litellm[proxy]"
fi
