#!/usr/bin/env bash
# SPDX-FileCopyrightText: The Holdfast Authors
# SPDX-License-Identifier: Apache-2.0

# Installs cqlsh from its Python package into a virtual environment in the
# cache, once, and prints its path. Needs Python 3.9 or newer with venv.
set -euo pipefail
cd "$(dirname "$0")"

key=$(cat cqlsh.sh requirements.txt <(python3 --version) | sha256sum | cut -c1-12)
cache=${HOLDFAST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holdfast}/cqlsh
out=$cache/$key
if [ ! -e "$out/complete" ]; then
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9 # a second install waits for the first and then finds its work done
  if [ ! -e "$out/complete" ]; then
    echo "installing cqlsh into $out (once)" >&2
    rm -rf "$out"
    python3 -m venv "$out" >&2
    "$out/bin/pip" install --quiet --disable-pip-version-check --no-deps -r requirements.txt >&2
    "$out/bin/cqlsh" --version >&2
    touch "$out/complete"
  fi
fi
echo "$out/bin/cqlsh"
