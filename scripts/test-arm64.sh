#!/usr/bin/env bash
# Builds both images for linux/arm64 and tries them together. On another processor the engine runs them under emulation, which takes
# ten minutes or so; that it can (QEMU in binfmt_misc) is asked for first.
#
#   scripts/test-arm64.sh       # as kotobamichi:arm64 and kotobamichi-migration:arm64
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base=${ARM64_PYTHON_IMAGE:-arm64v8/python:3.13-slim}
platform=(--platform linux/arm64)
# A base image that is here already and was made without saying for what: asked for by platform, it would not be found.
if architecture=$(docker image inspect --format '{{.Architecture}}' "$base" 2>/dev/null) && [[ $architecture != arm64 ]]; then
  platform=()
fi
if ! machine=$(docker run --rm ${platform[@]+"${platform[@]}"} --entrypoint uname "$base" -m) || [[ $machine != aarch64 ]]; then
  echo "test-arm64.sh: $base does not run here. Register QEMU with binfmt_misc, or use a machine with this processor." >&2
  exit 1
fi

for image in kotobamichi kotobamichi-migration; do
  file=Dockerfile
  [[ $image == kotobamichi ]] || file=Dockerfile.migration
  docker build --quiet ${platform[@]+"${platform[@]}"} --build-arg "PYTHON_IMAGE=$base" --file "$file" --tag "$image:arm64" .
done
READY_SECONDS=${READY_SECONDS:-600} scripts/check-images.sh kotobamichi:arm64 kotobamichi-migration:arm64
