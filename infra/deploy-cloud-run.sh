#!/usr/bin/env bash
# Deploys Parlance to Cloud Run, looks after it, takes it back. docs/deploy.md tells it whole; --help in short.
#
# Exit codes: 0 done. 1 failed, and what was in service is in service. 2 the command line or a setting is wrong, nothing was done.
# 3 failed while traffic was moved, and all of it was taken back. 4 failed, and it could not be taken back: look at `status`.
set -euo pipefail

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    echo "error: bash 4.4 or newer is needed, this is $BASH_VERSION (macOS: brew install bash)" >&2
    exit 2
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT
export CLOUDSDK_CORE_DISABLE_PROMPTS=1

usage() {
    cat <<'TEXT'
infra/deploy-cloud-run.sh ENV [COMMAND] [OPTIONS]        ENV: a folder of infra/envs, such as dev or prod

  deploy [--release TAG] [--no-build] [--infra]
                 Checks, APIs, registry, images, migration, topics, then persist-worker, llm-worker, ingest-api: each by digest,
                 first without traffic, then with all of it. Back on a failure. The default. Repeat it after an interruption.
  build [--release TAG]
                 The images alone, and their digests for Terraform.
  check [--release TAG]
                 Whether what is in service is whole, of that release, healthy, and closed to who has no key.
  rollback [--to REVISION]…
                 All services back to what was in service before, or to these revisions.
  status         Services, revisions, traffic, images, instances, what waits in subscriptions, dead letters.
  logs --task ID | --session ID | --call ID  [--since 7d] [--limit 1000]
                 What the services wrote of it, oldest first.
  rotate-secret NAME [--version N] [--disable-old]
                 A new version from standard input (or N, which exists), new revisions with it; earlier versions off if asked.

  --dry-run      Prints the commands that change something, ready to be run, and runs none of them.
  --help

Settings: infra/envs/ENV/deploy.env, documented there; the environment wins. PROJECT must be set.
TEXT
}

DRY_RUN="" RELEASE="" NO_BUILD="" INFRA="" VERSION="" DISABLE_OLD="" SECRET="" LOG_FIELD="" LOG_ID="" SINCE=7d LIMIT=1000
PHASE="" FIRST="" RECORD="" INTERRUPTED=""
TO=() MOVED=() DEAD_LETTERS=()
declare -A URL=() INGRESS=() IMAGE=() CREATED=() READY=() SERVING=() SPLIT=() TAGGED=() BEFORE=() SECRET_VERSIONS=() POOL_IMAGE=()

# shellcheck source=lib/say.sh
source "$ROOT/infra/lib/say.sh"
# shellcheck source=lib/settings.sh
source "$ROOT/infra/lib/settings.sh"
# shellcheck source=lib/check.sh
source "$ROOT/infra/lib/check.sh"
# shellcheck source=lib/infrastructure.sh
source "$ROOT/infra/lib/infrastructure.sh"
# shellcheck source=lib/build.sh
source "$ROOT/infra/lib/build.sh"
# shellcheck source=lib/record.sh
source "$ROOT/infra/lib/record.sh"
# shellcheck source=lib/services.sh
source "$ROOT/infra/lib/services.sh"
# shellcheck source=lib/pools.sh
source "$ROOT/infra/lib/pools.sh"
# shellcheck source=lib/deploy.sh
source "$ROOT/infra/lib/deploy.sh"
# shellcheck source=lib/rollback.sh
source "$ROOT/infra/lib/rollback.sh"
# shellcheck source=lib/rotate.sh
source "$ROOT/infra/lib/rotate.sh"
# shellcheck source=lib/look.sh
source "$ROOT/infra/lib/look.sh"

# What an option is followed by.
value_of() {
    [[ $# -ge 2 && -n $2 ]] || misuse "$1 needs a value"
    printf '%s' "$2"
}

read_words() {
    COMMAND=""
    while [[ $# -gt 0 ]]; do
        # --name=value is --name value.
        if [[ $1 == --*=* ]]; then set -- "${1%%=*}" "${1#*=}" "${@:2}"; fi
        case $1 in
            --help | -h) usage && exit 0 ;;
            --dry-run) DRY_RUN=yes ;;
            --no-build) NO_BUILD=yes ;;
            --infra) INFRA=yes ;;
            --disable-old) DISABLE_OLD=yes ;;
            --release) RELEASE=$(value_of "$@"); shift ;;
            --version) VERSION=$(value_of "$@"); shift ;;
            --since) SINCE=$(value_of "$@"); shift ;;
            --limit) LIMIT=$(value_of "$@"); shift ;;
            --to) OPTION=$(value_of "$@"); TO+=("$OPTION"); shift ;;
            --task | --session | --call) LOG_FIELD="${1#--}_id"; LOG_ID=$(value_of "$@"); shift ;;
            -*) misuse "there is no option $1" ;;
            *)
                if [[ -z ${ENV_NAME:-} ]]; then
                    ENV_NAME=$1
                elif [[ -z $COMMAND ]]; then
                    COMMAND=$1
                elif [[ $COMMAND == rotate-secret && -z $SECRET ]]; then
                    SECRET=$1
                else
                    misuse "$1 is one word too many"
                fi
                ;;
        esac
        shift
    done
    ENV=${ENV_NAME:-}
    [[ -n $ENV ]] || misuse "which environment: $(cd "$ROOT/infra/envs" && echo *)"
    [[ $ENV =~ ^[a-z][a-z0-9-]*$ && -d $ROOT/infra/envs/$ENV ]] || misuse "there is no environment infra/envs/$ENV"
    [[ -z $VERSION || $VERSION =~ ^[1-9][0-9]*$ ]] || misuse "--version $VERSION: accepted is a number"
}

on_exit() {
    local status=$?
    trap - EXIT
    if [[ $status != 0 && $PHASE == moving && -z $DRY_RUN ]]; then
        PHASE=""
        if [[ -n $INTERRUPTED ]]; then
            printf 'interrupted while traffic was moved: repeat the command, or: %s %s rollback\n' "$0" "$ENV" >&2
        else
            trap 'rm -rf "$SCRATCH"' EXIT
            undo_traffic
        fi
    fi
    rm -rf "$SCRATCH"
    exit "$status"
}

ENV_NAME=""
read_words "$@"
read_settings
SCRATCH=$(mktemp -d)
trap on_exit EXIT
trap 'INTERRUPTED=yes; exit 130' INT
trap 'INTERRUPTED=yes; exit 143' TERM

case ${COMMAND:-deploy} in
    deploy) deploy ;;
    build) build ;;
    check) check_release ;;
    rollback) rollback ;;
    status) show_status ;;
    logs) show_logs ;;
    rotate-secret)
        [[ -n $SECRET ]] || misuse "which secret: llm-api-key, llm-fallback-api-key, db-password"
        rotate_secret
        ;;
    *) misuse "there is no command $COMMAND" ;;
esac
