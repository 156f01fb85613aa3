#!/usr/bin/env bash
# Tries both images together, as production runs them: an empty database is migrated, a second deploy finds nothing to do, and the app
# becomes ready and healthy. What a release must pass on every platform before it gets its tag.
#
#   scripts/check-images.sh kotobamichi:dev kotobamichi-migration:dev
#   scripts/check-images.sh ghcr.io/owner/kotobamichi@sha256:... ghcr.io/owner/kotobamichi-migration@sha256:...
#
# POSTGRES_IMAGE is the database's (default: postgres:17), READY_SECONDS how long the app may take (default: 120).
set -euo pipefail

if [[ $# -ne 2 ]]; then
  echo "usage: check-images.sh APP_IMAGE MIGRATION_IMAGE" >&2
  exit 2
fi
app_image=$1 migration_image=$2
name=kotobamichi-check-$$
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
hardened=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network "$name")
database=(--env DATABASE_HOST=db --env DATABASE_NAME=words --env DATABASE_USER=words --env DATABASE_PASSWORD)
export DATABASE_PASSWORD=$password POSTGRES_PASSWORD=$password JWT_SECRET=$password$password

clean_up() {
  local code=$?
  if [[ $code -ne 0 ]]; then
    docker logs "$name-app" 2>&1 | tail -n 50 >&2 || true
  fi
  docker rm --force --volumes "$name-app" "$name-db" >/dev/null 2>&1 || true
  docker network rm "$name" >/dev/null 2>&1 || true
  exit "$code"
}
trap clean_up EXIT

until_true() { # seconds, what is waited for, then the command
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [[ $SECONDS -ge $deadline ]]; then
      echo "check-images.sh: $what did not come about in time." >&2
      return 1
    fi
    sleep 0.5
  done
}

is_healthy() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$name-app") == healthy ]]; }

docker network create "$name" >/dev/null
docker run --detach --name "$name-db" --network "$name" --network-alias db --env POSTGRES_DB=words --env POSTGRES_USER=words \
  --env POSTGRES_PASSWORD "${POSTGRES_IMAGE:-postgres:17}" >/dev/null
until_true 60 "a database that answers" docker exec "$name-db" pg_isready -q -h 127.0.0.1 -U words -d words

echo "==> $migration_image on $(docker run --rm --entrypoint uname "$migration_image" -m)"
docker run --rm "${hardened[@]}" "${database[@]}" "$migration_image" deploy
docker run --rm "${hardened[@]}" "${database[@]}" "$migration_image" deploy | grep 'Nothing to do'

echo "==> $app_image on $(docker run --rm --entrypoint uname "$app_image" -m)"
docker run --detach --name "$name-app" "${hardened[@]}" "${database[@]}" --env JWT_SECRET --env MAIL=off \
  --env CORS_ORIGIN=https://learn.example.org "$app_image" >/dev/null
ask=(docker exec "$name-app" python -I -S -c
  'import sys, urllib.request; print(urllib.request.urlopen("http://127.0.0.1:3000/v1" + sys.argv[1], timeout=10).read().decode())')
until_true "${READY_SECONDS:-120}" "a ready app" "${ask[@]}" /health/ready
"${ask[@]}" /health/ready
"${ask[@]}" '/words?limit=1'
until_true "${READY_SECONDS:-120}" "a healthy app" is_healthy
docker stop -t 30 "$name-app" >/dev/null
[[ $(docker inspect --format '{{.State.ExitCode}}' "$name-app") == 0 ]]
echo "==> both are well"
