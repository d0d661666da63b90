# shellcheck shell=bash
# `rollback [--to REVISION]…`: the revisions that were in service before, the last of the order first. The schema stays: migrations
# only ever add. Settings and secrets' versions are the revision's, so they go back with it.

rollback() {
    local service target index changed="" gone="deploying"
    declare -A targets=()
    check_tools curl
    check_account
    if [[ $DEPLOY == event && ${#TO[@]} == 0 ]]; then
        rollback_by_event
        return
    fi
    read_services
    for service in "${SERVICES[@]}"; do
        [[ -n ${CREATED[$service]} ]] || die "there is no service $service in $REGION"
        target=$(recorded "before-$service")
        [[ -n $target ]] || target=$(recorded "previous-$service")
        targets["$service"]=$target
        gone+=",before-$service,previous-$service"
    done
    if [[ ${#TO[@]} -gt 0 ]]; then choose_targets; fi
    for service in "${SERVICES[@]}"; do changed+=${targets[$service]}; done
    [[ -n $changed ]] || die "it is not on record what was in service before" \
        "choose one for each service: $0 $ENV rollback --to REVISION [--to REVISION]…" \
        "$(quoted gcloud run revisions list --service=ingest-api "${RUN[@]}")"
    step "rollback"
    for ((index = ${#SERVICES[@]} - 1; index >= 0; index--)); do
        service=${SERVICES[index]} target=${targets[${SERVICES[index]}]}
        if [[ -z $target || ${SERVING[$service]} == "$target" ]]; then
            say "$service: ${SPLIT[$service]} stays"
            continue
        fi
        say "$service: from ${SPLIT[$service]:-nothing} to $target"
        shift_traffic "$service" "$target" || die "$service could not be given back to $target: repeat this command"
    done
    if [[ $WORKERS == pools ]]; then
        say "worker pools stay as they are: an earlier release of them is deployed: $0 $ENV deploy --release=TAG --no-build"
    fi
    if reachable ingest-api; then
        healthy "${URL[ingest-api]}" || die "ingest-api is not healthy with ${targets[ingest-api]:-${SERVING[ingest-api]}}" \
            "another revision: $0 $ENV rollback --to REVISION" "$(quoted gcloud run revisions list --service=ingest-api "${RUN[@]}")"
    fi
    run 300 gcloud run jobs update "$MIGRATE_JOB" --remove-labels="$gone" "${RUN[@]}"
}

# A revision's name begins with its service's.
choose_targets() {
    local revision service owner
    targets=()
    for service in "${SERVICES[@]}"; do targets["$service"]=""; done
    for revision in "${TO[@]}"; do
        owner=""
        for service in "${SERVICES[@]}"; do
            if [[ $revision == "$service"-* ]]; then owner=$service; fi
        done
        [[ -n $owner ]] || misuse "$revision is a revision of none of: ${SERVICES[*]}"
        there gcloud run revisions describe "$revision" "${RUN[@]}" --format='value(metadata.name)' ||
            die "there is no revision $revision" "$(quoted gcloud run revisions list --service="$owner" "${RUN[@]}")"
        targets["$owner"]=$revision
    done
}

# The workflow has a record of its own.
rollback_by_event() {
    step "rollback by the workflow parlance-deploy"
    run 3600 gcloud workflows run parlance-deploy --data='{"rollback": true}' --location="$REGION" "${CLOUD[@]}" ||
        die "the workflow did not roll back: what it did is above"
}
