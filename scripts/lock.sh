#!/usr/bin/env bash
# Locks requirements/*.txt from pyproject.toml, for every platform and Python at once, with hashes and without a registry's address.
#
#   scripts/lock.sh            # keep what is locked, add what is missing
#   scripts/lock.sh --upgrade  # newest of everything
set -euo pipefail
cd "$(dirname "$0")/.."

lock() { # output, then what to lock
  local output=$1
  shift
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --no-emit-find-links --output-file "requirements/$output.txt" "$@"
  echo "requirements/$output.txt: $(grep -c '^[a-z]' "requirements/$output.txt") packages"
}

# michi: the migration image. app: the app image adds the extra `app`, a developer's machine the embedded server.
lock michi "$@" pyproject.toml
lock image "$@" pyproject.toml --extra app --constraint requirements/michi.txt
lock app "$@" pyproject.toml --extra app --extra embedded --constraint requirements/image.txt
lock dev "$@" pyproject.toml --all-extras --constraint requirements/app.txt
lock build "$@" requirements/build.in --constraint requirements/dev.txt
# The linters of images, manifests and workflows, in an environment of their own: they need other versions of what developers have.
lock deployment "$@" requirements/deployment.in
