#!/usr/bin/env bash
# Runs michi from the migration image against a database: for servers and pipelines that have Docker or Podman and nothing else.
# `run-migrations.sh --help` tells how. Written for bash 3.2 and newer, because macOS still comes with it.
#
# The database's URL holds a password, so it travels on standard input alone: a container's arguments and environment can be read by
# everyone who may ask the engine or list processes. The engine is started with exec, so signals reach it and its exit code is ours.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: run-migrations.sh [OPTIONS] [VERB [ARGUMENTS]]

Runs michi from the migration image. VERB is deploy when none is given; others are status, plan, check, history, doctor, ...

The image, REGISTRY/REPOSITORY:TAG
  --repository NAME    its name (default: kotobamichi-migration)
  --tag TAG            its version, or a digest sha256:... (default: dev, the one that is built on this machine)
  --registry HOST      where it comes from, such as ghcr.io/owner; needs --tag

The database's URL, in the first of these that is given
  --url-file FILE      the first line of a file
  --url-stdin          standard input; on a terminal it is asked for and not shown
  --database-url URL   this argument; others on this machine can see it while the script starts
  (none)               MIGRATION_DATABASE_URL or DATABASE_URL of the environment

  --network NAME       the container network to join, such as kotobamichi_default, or host
  --dry-run            print the command and run nothing
  --help               print this

CONTAINER_ENGINE names the engine (default: docker, else podman).

Exit codes are those of michi: 0 done, 2 usage or configuration, 3 pending, 4 image too old, 5 lock busy, 6 database unreachable,
7 folder and ledger do not agree or a migration failed, 8 refused for safety. 125, 126 and 127 are the engine's own.
TEXT
}

refuse() { # what is wrong, what to do
  printf 'run-migrations.sh: %s\n                   %s\n' "$1" "$2" >&2
  exit 2
}

# A variable that comes from outside under this name would be handed on to the engine.
unset url
repository=kotobamichi-migration tag='' registry='' network='' source='' url='' file='' dry_run=''

choose() { # the way in which the URL comes; two at once would leave in doubt which database is meant
  [[ -z $source ]] || refuse "$source and $1 are both given." "Keep one of them."
  source=$1
}

while [[ $# -gt 0 ]]; do
  option=$1
  case $option in
    --help) usage; exit 0 ;;
    --dry-run) dry_run=yes; shift; continue ;;
    --url-stdin) choose --url-stdin; shift; continue ;;
    --) shift; break ;;
    --*=*) option=${1%%=*} value=${1#*=}; shift ;;
    -*)
      [[ $# -ge 2 ]] || refuse "$1 is unknown or has no value." "See run-migrations.sh --help."
      value=$2; shift 2 ;;
    *) break ;;
  esac
  case $option in
    --repository) repository=$value ;;
    --tag) tag=$value ;;
    --registry) registry=${value%/} ;;
    --network) network=$value ;;
    --database-url) choose --database-url; url=$value ;;
    --url-file) choose --url-file; file=$value ;;
    *) refuse "$option is not an option." "See run-migrations.sh --help; what belongs to michi comes after the verb." ;;
  esac
  [[ -n $value ]] || refuse "$option has an empty value." "Give it one, or leave the option out."
done
[[ $# -gt 0 ]] || set -- deploy

[[ -z $registry || -n $tag ]] || refuse "--registry needs --tag." "Name the version, such as --tag 0.1.0: what latest means can change."
tag=${tag:-dev}
case $tag in
  sha256:*) image=${registry:+$registry/}$repository@$tag ;;
  *) image=${registry:+$registry/}$repository:$tag ;;
esac

case $source in
  '')
    url=${MIGRATION_DATABASE_URL:-${DATABASE_URL:-}}
    [[ -n $url ]] || refuse "There is no database URL." "Use --url-file or --url-stdin, or set MIGRATION_DATABASE_URL or DATABASE_URL." ;;
  --url-file)
    [[ -r $file && -f $file ]] || refuse "--url-file names a file that cannot be read: $file." "Check the path and its permissions."
    IFS= read -r url <"$file" || true
    [[ -n $url ]] || refuse "The file of --url-file holds no URL: $file." "Write the URL into its first line." ;;
  --url-stdin)
    if [[ -n $dry_run ]]; then
      :
    elif [[ -t 0 ]]; then
      IFS= read -r -s -p 'Database URL (not shown): ' url || true
      printf '\n' >&2
    else
      IFS= read -r url || true
    fi
    [[ -n $url$dry_run ]] || refuse "No database URL arrived on standard input." "Pipe the URL into the command." ;;
esac
unset MIGRATION_DATABASE_URL DATABASE_URL

engine=${CONTAINER_ENGINE:-}
if [[ -z $engine ]]; then
  for engine in docker podman ''; do
    [[ -z $engine ]] || ! command -v "$engine" >/dev/null || break
  done
fi
[[ -n $engine ]] || refuse "There is neither docker nor podman." "Install one of them, or set CONTAINER_ENGINE."
command -v "$engine" >/dev/null || refuse "CONTAINER_ENGINE names $engine, which is not there." "Install it, or unset CONTAINER_ENGINE."

verb=$1
shift
set -- run --rm --interactive --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
  ${network:+--network} ${network:+"$network"} "$image" "$verb" --database-url-stdin "$@"

if [[ -n $dry_run ]]; then
  printf '%s' "$engine"
  printf ' %q' "$@"
  printf '\n'
  exit 0
fi
# `printf` is the shell's own: no process ever has the URL among its arguments.
exec "$engine" "$@" < <(printf '%s\n' "$url")
