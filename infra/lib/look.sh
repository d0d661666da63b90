# shellcheck shell=bash
# `logs` and `status`: they only read.

# What our services write of one task, session or call, oldest first. The ids are in the span of each line
# (jsonPayload.span), and in fields of their own where a line has no span.
show_logs() {
    local filter field camel
    case $LOG_FIELD in
        task_id) [[ $LOG_ID =~ ^tsk_[0-9a-f]{32}$ ]] || misuse "$LOG_ID is no task: tsk_ and 32 hexadecimal digits" ;;
        session_id) [[ $LOG_ID =~ ^ses_[0-9a-f]{32}$ ]] || misuse "$LOG_ID is no session: ses_ and 32 hexadecimal digits" ;;
        call_id) [[ $LOG_ID =~ ^call_[0-9a-f]{32}$ ]] || misuse "$LOG_ID is no call: call_ and 32 hexadecimal digits" ;;
        *) misuse "logs of what: --task, --session or --call" ;;
    esac
    [[ $SINCE =~ ^[0-9]+[smhd]$ ]] || misuse "--since $SINCE: accepted is a number and s, m, h or d"
    [[ $LIMIT =~ ^[1-9][0-9]*$ ]] || misuse "--limit $LIMIT: accepted is a number"
    field=$LOG_FIELD camel="${LOG_FIELD%_id}Id"
    check_tools
    filter="resource.type=(\"cloud_run_revision\" OR \"cloud_run_job\" OR \"cloud_run_worker_pool\") AND "
    filter+="(jsonPayload.span.$field=\"$LOG_ID\" OR jsonPayload.spans.$field=\"$LOG_ID\" OR jsonPayload.$camel=\"$LOG_ID\""
    filter+=" OR jsonPayload.${LOG_FIELD%_id}=\"$LOG_ID\")"
    timeout --foreground 120 gcloud logging read "$filter" --order=asc --freshness="$SINCE" --limit="$LIMIT" "${CLOUD[@]}" \
        --format="$LOG_FORMAT"
}

readonly LOG_FORMAT='table[no-heading](timestamp.date("%Y-%m-%dT%H:%M:%S.%3f"),severity,resource.labels.service_name,
jsonPayload.message,jsonPayload.code,jsonPayload.status,jsonPayload.httpStatus,jsonPayload.attempt,jsonPayload.detail)'

show_status() {
    local service index name
    check_tools curl jq
    check_account
    read_services
    step "services"
    for ((index = ${#SERVICES[@]} - 1; index >= 0; index--)); do
        service=${SERVICES[index]}
        if [[ -z ${CREATED[$service]} ]]; then
            say "$service: not deployed"
            continue
        fi
        say "$service  ${URL[$service]}"
        say "  traffic    ${SPLIT[$service]:-none}"
        say "  newest     ${CREATED[$service]}$([[ ${CREATED[$service]} == "${READY[$service]}" ]] || printf ' (NOT READY)')"
        say "  image      ${IMAGE[$service]}"
    done
    if [[ -n $(recorded deploying) ]]; then
        say "a deployment is under way or was interrupted: $(recorded deploying). Repeat it, or: $0 $ENV rollback"
    fi
    step "revisions"
    for service in "${SERVICES[@]}"; do
        query gcloud run revisions list --service="$service" "${RUN[@]}" --limit=5 --format="table[no-heading](metadata.name,\
metadata.creationTimestamp,metadata.labels.release,spec.containers[0].image.basename(),status.imageDigest)"
    done
    step "instances, by revision and state"
    series run.googleapis.com/container/instance_count 'max' '"resource.labels.revision_name","metric.labels.state"' |
        jq -r '.timeSeries[]? | "  \(.resource.labels.revision_name)  \(.metric.labels.state)  \(.points[0].value | .int64Value // .doubleValue)"'
    step "subscriptions: messages that wait, and the age of the oldest"
    backlog
    step "dead letters"
    for name in "${SUBSCRIPTIONS[@]}"; do DEAD_LETTERS+=("$name-dead-letters"); done
    for name in "${DEAD_LETTERS[@]}"; do
        say "  $name  $(jq -r --arg name "$name" '[.timeSeries[]? | select(.resource.labels.subscription_id == $name) | .points[0].value.int64Value][0] // "unknown"' <<<"$WAITING")"
    done
    say "(figures of Cloud Monitoring are up to four minutes old; dead letters: parlance dead-letters list)"
}

backlog() {
    local name oldest
    WAITING=$(series pubsub.googleapis.com/subscription/num_undelivered_messages max '"resource.labels.subscription_id"')
    oldest=$(series pubsub.googleapis.com/subscription/oldest_unacked_message_age max '"resource.labels.subscription_id"')
    for name in "${SUBSCRIPTIONS[@]}"; do
        say "  $name  $(jq -rn --arg name "$name" --argjson waiting "$WAITING" --argjson oldest "$oldest" '
            def last($all): [$all.timeSeries[]? | select(.resource.labels.subscription_id == $name) | .points[0].value.int64Value][0] // "unknown";
            "\(last($waiting)) waiting, \(last($oldest)) s"')"
    done
}

# series METRIC REDUCER GROUPS: the last values of a metric. gcloud has no command for them. The token is handed to curl by a pipe.
series() {
    local metric=$1 token end start parameters group
    token=$(query gcloud auth print-access-token --quiet)
    end=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    start=$(date -u -d "@$(($(date +%s) - 600))" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$(($(date +%s) - 600))" +%Y-%m-%dT%H:%M:%SZ)
    parameters=(
        --data-urlencode "filter=metric.type=\"$metric\"" --data-urlencode "interval.startTime=$start"
        --data-urlencode "interval.endTime=$end" --data-urlencode "aggregation.alignmentPeriod=60s"
        --data-urlencode "aggregation.perSeriesAligner=ALIGN_${2^^}" --data-urlencode "aggregation.crossSeriesReducer=REDUCE_${2^^}"
    )
    for group in ${3//,/ }; do
        parameters+=(--data-urlencode "aggregation.groupByFields=${group//\"/}")
    done
    printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl --config - --fail --silent --show-error --max-time 20 --get "${parameters[@]}" \
            "https://monitoring.googleapis.com/v3/projects/$PROJECT/timeSeries" ||
        die "Cloud Monitoring did not answer" "roles/monitoring.viewer on $PROJECT is needed"
}
