# shellcheck shell=bash
# What ran before: Cloud Run keeps revisions, but not which of them were in service. The labels of the migrate job hold it:
#   deploying=RELEASE and before-SERVICE=REVISION   while a deployment runs, and after one that was interrupted
#   previous-SERVICE=REVISION                       what the last complete deployment replaced: where `rollback` goes

read_record() {
    look_up RECORD gcloud run jobs describe "$MIGRATE_JOB" "${RUN[@]}" --format='value(metadata.labels.list(separator=" "))' || true
}

# recorded LABEL: its value, or nothing.
recorded() {
    local entry
    for entry in $RECORD; do
        if [[ $entry == "$1="* ]]; then printf '%s' "${entry#*=}" && return; fi
    done
}

# What to go back to, as labels for --update-labels. A deployment that is repeated after an interruption keeps what it found the
# first time.
begin_record() {
    local service labels="deploying=$1"
    for service in "${SERVICES[@]}"; do
        if [[ $(recorded deploying) == "$1" && -n $(recorded "before-$service") ]]; then
            BEFORE["$service"]=$(recorded "before-$service")
        else
            BEFORE["$service"]=${SERVING[$service]}
        fi
        if [[ -n ${BEFORE[$service]} ]]; then labels+=",before-$service=${BEFORE[$service]}"; fi
    done
    printf -v BEGIN_LABELS '%s' "$labels"
}

# end_record kept|replaced: the deployment is over, and nothing or something is in service that was not before.
end_record() {
    local service labels="" gone="deploying"
    for service in "${SERVICES[@]}"; do
        [[ -n ${BEFORE[$service]} ]] || continue
        gone+=",before-$service"
        labels+="${labels:+,}previous-$service=${BEFORE[$service]}"
    done
    local changes=(--remove-labels="$gone")
    if [[ $1 == replaced && -n $labels ]]; then changes+=(--update-labels="$labels"); fi
    run 300 gcloud run jobs update "$MIGRATE_JOB" "${changes[@]}" "${RUN[@]}"
}
