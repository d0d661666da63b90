# shellcheck shell=bash
# One Cloud Run service: how it is, a new revision of it, its health, its traffic.

# Fills URL, INGRESS, IMAGE, CREATED, READY, SERVING of a service; all empty if there is none.
look_at() {
    local service=$1 answer="" traffic share
    look_up answer gcloud run services describe "$service" "${RUN[@]}" --format="value[separator=\"|\"](status.url,\
metadata.annotations.\"run.googleapis.com/ingress\",spec.template.spec.containers[0].image,status.latestCreatedRevisionName,\
status.latestReadyRevisionName,status.traffic.map().format(\"{0}:{1}:{2}\",revisionName,percent,tag).join(\" \"))" || true
    IFS='|' read -r "URL[$service]" "INGRESS[$service]" "IMAGE[$service]" "CREATED[$service]" "READY[$service]" traffic <<<"$answer"
    SERVING["$service"]="" SPLIT["$service"]="" TAGGED["$service"]=""
    for share in $traffic; do
        if [[ $share == *":$CANDIDATE" ]]; then TAGGED["$service"]=${share%%:*}; fi
        [[ $share =~ ^([^:]+):([0-9]+): && ${BASH_REMATCH[2]} != 0 ]] || continue
        SPLIT["$service"]+="${SPLIT[$service]:+, }${BASH_REMATCH[1]} ${BASH_REMATCH[2]} %"
        SERVING["$service"]=${BASH_REMATCH[1]}
    done
    [[ ${SPLIT[$service]} != *,* ]] || SERVING["$service"]="several"
}

# A traffic that is split is somebody else's deployment, half-way.
refuse_split() {
    local service
    for service in "${SERVICES[@]}"; do
        [[ ${SERVING[$service]} != several ]] || die "the traffic of $service is split: ${SPLIT[$service]}" \
            "another deployment is under way, or was left: give one revision all of it, then repeat this:" \
            "$(quoted gcloud run services update-traffic "$service" --to-revisions=REVISION=100 "${RUN[@]}")"
    done
}

# A revision of the release, without traffic where there is one in service. Cloud Run starts an instance and waits for its startup
# probe, GET /health/ready: the command fails if it doesn't come up.
make_revision() {
    local service=$1 flags=() variable
    variable="REVISION_$(upper "$service")"
    if [[ $INFRASTRUCTURE == terraform && -z ${CREATED[$service]} ]]; then
        die "there is no service $service" "terraform -chdir=infra/envs/$ENV apply"
    fi
    if [[ $INFRASTRUCTURE == terraform && ${IMAGE[$service]} == "$(image_of "$service")" && \
        ${CREATED[$service]} == "${READY[$service]}" ]]; then
        say "$service: ${CREATED[$service]} is of this release"
        printf -v "$variable" '%s' "${CREATED[$service]}"
        if [[ ${SERVING[$service]} != "${CREATED[$service]}" && ${TAGGED[$service]} != "${CREATED[$service]}" ]]; then
            run 300 gcloud run services update-traffic "$service" --update-tags="$CANDIDATE=${CREATED[$service]}" "${RUN[@]}"
        fi
        return 0
    fi
    if [[ $INFRASTRUCTURE == script ]]; then
        service_flags "$service"
        flags=("${SERVICE_FLAGS[@]}")
    fi
    if [[ -n ${SERVING[$service]} ]]; then flags+=(--no-traffic --tag="$CANDIDATE"); fi
    run 900 gcloud run deploy "$service" --image="$(image_of "$service")" --update-labels="release=$RELEASE_LABEL" \
        "${flags[@]}" "${RUN[@]}" ||
        die "$service does not come up: its new revision gets no traffic" "what it said:" \
            "$(quoted gcloud logging read "resource.labels.service_name=\"$service\" AND severity>=WARNING" --freshness=30m \
                --limit=50 --project="$PROJECT")"
    capture "$variable" 120 gcloud run services describe "$service" "${RUN[@]}" --format='value(status.latestCreatedRevisionName)'
    if [[ -z ${URL[$service]} ]]; then
        capture "URL_$(upper "$service")" 120 gcloud run services describe "$service" "${RUN[@]}" --format='value(status.url)'
        variable="URL_$(upper "$service")"
        URL["$service"]=${!variable}
    fi
}

# All of what a service is, as Terraform's modules make it.
service_flags() {
    local service=$1 name=$1 variables extra secrets="" min max
    name=$(upper "$service")
    min="${name}_MIN" max="${name}_MAX"
    variables="ENVIRONMENT=production|PUBSUB_PROJECT_ID=$PROJECT|DB_TYPE=postgres|DB_HOST=$DB_HOST|DB_NAME=parlance"
    variables+="|DB_USER=$(database_login "$service")|DB_IAM_AUTH=on|DB_SSL=require"
    # infra/modules/run_service says why. Minimum and maximum are the service's, not a revision's, so that a
    # candidate keeps nothing warm.
    SERVICE_FLAGS=(
        --service-account="$(account "$service")" --port=8080 --cpu=1 --memory=512Mi --concurrency=250 --cpu-boost
        --min="${!min}" --max-instances="${!max}" --execution-environment=gen2
        --network="$NETWORK" --subnet="$SUBNET" --vpc-egress=private-ranges-only --no-invoker-iam-check
        --startup-probe="httpGet.path=/health/ready,httpGet.port=8080,periodSeconds=1,timeoutSeconds=1,failureThreshold=120"
        --liveness-probe="httpGet.path=/health,httpGet.port=8080,periodSeconds=10,timeoutSeconds=5,failureThreshold=3"
    )
    if [[ $service == ingest-api ]]; then
        # Streams last as long as a request may.
        SERVICE_FLAGS+=(--ingress=all --timeout=3600)
        secrets="ID_SECRET=id-secret:${SECRET_VERSIONS[id-secret]}"
    else
        # Pub/Sub gives a push up after 600 s: the end is left to it. The check of the push token is the worker's own: Cloud Run's would take its signature off.
        SERVICE_FLAGS+=(--ingress=internal --timeout=610 --no-cpu-throttling)
        variables+="|PUBSUB_DELIVERY=push|PUSH_AUDIENCE=$(address_of "$service")/push"
        variables+="|PUSH_SERVICE_ACCOUNT=$(account parlance-push)"
    fi
    case $service in
        llm-worker)
            for extra in llm-api-key llm-fallback-api-key; do
                [[ -z ${SECRET_VERSIONS[$extra]:-} ]] ||
                    secrets+="${secrets:+,}$(upper "$extra")=$extra:${SECRET_VERSIONS[$extra]}"
            done
            ;;
        persist-worker) if webhooks_on; then secrets="ID_SECRET=id-secret:${SECRET_VERSIONS[id-secret]}"; fi ;;
    esac
    for extra in "${SERVICE_SETTINGS[@]}"; do variables+="|$extra"; done
    SERVICE_FLAGS+=(--set-env-vars="^|^$variables")
    if [[ -n $secrets ]]; then SERVICE_FLAGS+=(--set-secrets="$secrets"); fi
}

# healthy URL: /health and /health/ready answer 200, within about a minute.
healthy() {
    local path
    for path in /health /health/ready; do
        run 120 curl --fail --silent --show-error --output /dev/null --max-time 10 --retry 10 --retry-delay 5 --retry-max-time 75 \
            --retry-all-errors "$1$path" || return 1
    done
}

# closed URL: who shows no key gets nothing. 403 is Cloud Run's own check.
closed() {
    run_shell "curl --silent --show-error --output /dev/null --write-out '%{http_code}' --max-time 10 --retry 3 \
$(quoted "$1/v1/sessions") | grep -xE '401|403' >/dev/null"
}

# Only what is open to the internet can be asked from here. The workers' check is Cloud Run's: the startup probe of a revision.
reachable() {
    local public=internal
    if [[ $1 == ingest-api && $INGEST_CHECK == open ]]; then public=all; fi
    [[ $INGEST_CHECK != none && ${INGRESS[$1]:-$public} == all ]]
}

# shift_traffic SERVICE REVISION: all of it, and the candidate's tag goes.
shift_traffic() {
    local service=$1 flags=()
    if [[ -n ${SERVING[$service]} ]]; then flags=(--remove-tags="$CANDIDATE"); fi
    run 300 gcloud run services update-traffic "$service" --to-revisions="$2=100" "${flags[@]}" "${RUN[@]}"
}

# `check [--release TAG]`: what is in service is whole, of one release, healthy, and closed to strangers.
check_release() {
    local service label amiss=""
    check_tools curl
    check_account
    read_services
    step "what is in service"
    for service in "${SERVICES[@]}"; do
        if [[ -z ${SERVING[$service]} || ${SERVING[$service]} == several ]]; then
            warn "$service: traffic ${SPLIT[$service]:-goes nowhere}"
            amiss=yes
            continue
        fi
        label=$(query gcloud run revisions describe "${SERVING[$service]}" "${RUN[@]}" --format='value(metadata.labels.release)')
        say "$service: ${SERVING[$service]}, ${label:-no release}"
        if [[ -n $RELEASE && $label != "${RELEASE//./_}" ]]; then
            warn "$service is not of $RELEASE"
            amiss=yes
        fi
    done
    if [[ -z $amiss ]] && reachable ingest-api; then
        if ! healthy "${URL[ingest-api]}" || ! closed "${URL[ingest-api]}"; then amiss=yes; fi
    fi
    [[ -z $amiss ]] || die "what is in service is not as it should be" "$0 $ENV status"
}
