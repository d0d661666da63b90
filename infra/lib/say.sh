# shellcheck shell=bash
# What is said, asked and done. Everything that changes something goes through `run`, `run_shell` or `capture`: a dry run
# prints exactly these, and executed, its output is the deployment.

say() { printf '%s%s\n' "${DRY_RUN:+# }" "$*"; }
step() { printf '%s== %s\n' "${DRY_RUN:+# }" "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }

# Ends with the reason and what to do about it.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

# A wrong command line.
misuse() {
    printf 'error: %s\n' "$1" >&2
    printf '  %s --help tells what there is\n' "$0" >&2
    exit 2
}

# Words as a shell takes them. __NAME__ stands for what only an earlier command will tell: it becomes "$NAME".
quoted() {
    local word text="" out
    for word in "$@"; do
        out=$word
        if [[ ! $word =~ ^[A-Za-z0-9_./:=@,+%-]+$ ]]; then
            out="'${word//\'/\'\\\'\'}'"
            while [[ $out =~ __([A-Z][A-Z0-9_]*[A-Z0-9])__ ]]; do
                out=${out//"${BASH_REMATCH[0]}"/"'\"\$${BASH_REMATCH[1]}\"'"}
            done
        else
            while [[ $out =~ __([A-Z][A-Z0-9_]*[A-Z0-9])__ ]]; do
                out=${out//"${BASH_REMATCH[0]}"/"\"\$${BASH_REMATCH[1]}\""}
            done
        fi
        text+="${text:+ }$out"
    done
    printf '%s' "$text"
}

# run SECONDS COMMAND…: changes something, within so many seconds.
run() {
    local seconds=$1
    shift
    if [[ -n $DRY_RUN ]]; then
        printf '%s\n' "$(quoted timeout --foreground "$seconds" "$@")"
        return 0
    fi
    printf '  %s\n' "$(quoted "$@")" >&2
    local status=0
    timeout --foreground "$seconds" "$@" || status=$?
    if [[ $status == 124 ]]; then warn "no end after $seconds s: $(quoted "$@")"; fi
    return "$status"
}

# run_shell TEXT: the same for a pipe, which the caller has quoted.
run_shell() {
    if [[ -n $DRY_RUN ]]; then
        printf '%s\n' "$1"
        return 0
    fi
    printf '  %s\n' "$1" >&2
    timeout --foreground 600 bash -euo pipefail -c "$1"
}

# capture NAME SECONDS COMMAND…: what the command answers once the commands before it have run. In a dry run they have not.
capture() {
    local _name=$1 seconds=$2 _answer
    shift 2
    if [[ -n $DRY_RUN ]]; then
        # shellcheck disable=SC2016 # as it is: the shell that runs the output expands it
        printf '%s=$(%s)\n' "$_name" "$(quoted timeout --foreground "$seconds" "$@")"
        printf -v "$_name" '__%s__' "$_name"
        return 0
    fi
    _answer=$(query "$@")
    [[ -n $_answer ]] || die "no answer from: $(quoted "$@")"
    printf -v "$_name" '%s' "$_answer"
}

# query COMMAND…: reads, also in a dry run.
query() {
    local status=0
    timeout --foreground 120 "$@" 2>"$SCRATCH/errors" || status=$?
    if [[ $status != 0 ]]; then
        die "$(quoted "$@") failed (exit code $status):" "$(<"$SCRATCH/errors")"
    fi
}

# there COMMAND…: whether what the command describes is there.
there() {
    local answer
    look_up answer "$@"
}

# look_up NAME COMMAND…: like query, into a variable; false if what was asked for is not there.
look_up() {
    # Names of its own: bash would take the caller's variable of the same name for these.
    local _name=$1 _answer _status=0
    shift
    _answer=$(timeout --foreground 120 "$@" 2>"$SCRATCH/errors") || _status=$?
    if [[ $_status == 0 ]]; then
        printf -v "$_name" '%s' "$_answer"
        return 0
    fi
    # The services of Google Cloud say it in as many ways. Where an API is still off, there is nothing of it; a dry run leaves
    # it off.
    local absent='not[ _]found|cannot find|could not be found|does not exist|error 404'
    if grep -qiE "$absent${DRY_RUN:+|SERVICE_DISABLED|has not been used in project}" "$SCRATCH/errors"; then
        printf -v "$_name" ''
        return 1
    fi
    die "$(quoted "$@") failed (exit code $_status):" "$(<"$SCRATCH/errors")"
}
