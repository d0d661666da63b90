# shellcheck shell=bash
# `deploy`: from nothing, or from the last release, to this one. Each step looks first at what is there, so that the command,
# repeated after an interruption, goes on.

deploy() {
    local secrets
    read -ra secrets <<<"$SECRETS"
    [[ $INFRASTRUCTURE == terraform ]] || secrets+=(db-password)
    name_release
    check_tools curl
    check_account
    enable_apis
    if [[ $DEPLOY == event ]]; then
        deploy_by_event
        return
    fi
    check_secrets "${secrets[@]}"
    read_services
    refuse_split
    if [[ $INFRASTRUCTURE == script ]]; then prepare_infrastructure; else check_infrastructure; fi
    build_images
    migrate
    if [[ $INFRASTRUCTURE == script ]]; then set_up_pubsub; fi
    make_revisions
    move_traffic with_pools
    say "$RELEASE is in service: ${URL[ingest-api]}"
}

# The push of parlance:vX.Y.Z starts the deploy workflow, which does the rest.
deploy_by_event() {
    build_images
    say "$RELEASE is built: the workflow parlance-deploy deploys it. To see it:"
    say "$(quoted gcloud workflows executions list parlance-deploy --location="$REGION" --project="$PROJECT" --limit=3)"
}

prepare_infrastructure() {
    local service
    # Once the services are there, so is what they stand on.
    FIRST=$INFRA
    for service in "${SERVICES[@]}"; do [[ -n ${SERVING[$service]} ]] || FIRST=yes; done
    if [[ -n $FIRST ]]; then make_foundations; else say "infrastructure: there is one (--infra looks at each part)"; fi
    capture DB_HOST 120 gcloud sql instances describe "$SQL" "${CLOUD[@]}" --format='value(ipAddresses[0].ipAddress)'
}

read_services() {
    local service
    for service in "${SERVICES[@]}"; do look_at "$service"; done
    look_at_pools
    read_record
}

# The schema first: a migration only ever adds, so that the revisions in service go on with it, and so does a rollback.
migrate() {
    step "migration"
    local flags=() service logins=""
    begin_record "$RELEASE_LABEL"
    if [[ $INFRASTRUCTURE == script ]]; then
        run 300 gcloud run jobs deploy "$MIGRATE_JOB" --image="$(image_of parlance)" --args=migrate,init --max-retries=0 \
            --tasks=1 --task-timeout=30m --cpu=1 --memory=512Mi --service-account="$(account parlance-migrate)" \
            --network="$NETWORK" --subnet="$SUBNET" --vpc-egress=private-ranges-only \
            --set-env-vars="^|^ENVIRONMENT=production|DB_TYPE=postgres|DB_HOST=$DB_HOST|DB_NAME=parlance|DB_USER=parlance|DB_SSL=require" \
            --set-secrets=DB_PASSWORD=db-password:latest "${RUN[@]}"
    else
        flags=(--image="$(image_of parlance)")
    fi
    run 300 gcloud run jobs update "$MIGRATE_JOB" "${flags[@]}" --update-labels="$BEGIN_LABELS" "${RUN[@]}"
    run_job "$MIGRATE_JOB" migrate,init
    # A service that is in service has its grant; Terraform's are granted when they are made (infra/README.md).
    for service in "${SERVICES[@]}"; do
        if [[ $INFRASTRUCTURE == script && -z ${SERVING[$service]} ]]; then logins+=",$(database_login "$service")"; fi
    done
    if [[ -n $logins ]]; then run_job "$MIGRATE_JOB" "migrate,grant$logins"; fi
    # Terraform's job for operators' commands is of the same release.
    if [[ $INFRASTRUCTURE == terraform ]] && there gcloud run jobs describe parlance-operator "${RUN[@]}" --format='value(metadata.name)'; then
        run 300 gcloud run jobs update parlance-operator --image="$(image_of parlance)" "${RUN[@]}"
    fi
}

# run_job JOB ARGUMENTS: and waits for its end.
run_job() {
    run 2400 gcloud run jobs execute "$1" --args="$2" --wait "${RUN[@]}" ||
        die "the job $1 (${2//,/ }) failed: nothing was deployed, what was in service is in service" "what it said:" \
            "$(quoted gcloud logging read "resource.labels.job_name=\"$1\"" --freshness=1h --limit=50 --project="$PROJECT")"
}

# By the release's own idea of its topics. Before the services, so that nothing is published into nowhere; their addresses are
# known beforehand.
set_up_pubsub() {
    step "topics and subscriptions"
    local persist llm targets
    persist="$(address_of persist-worker)/push" llm="$(address_of llm-worker)/push"
    # --push=… and not --push …: gcloud takes no word of --args twice.
    targets="--push=llm-worker=$llm,--push=llm-memory=$llm,--push=persist-requests=$persist,--push=persist-replies=$persist"
    targets+=",--push=webhooks=$persist,--push-service-account=$(account parlance-push)"
    run 300 gcloud run jobs deploy parlance-pubsub --image="$(image_of parlance)" --args="pubsub,setup,$targets" --max-retries=1 \
        --tasks=1 --task-timeout=10m --service-account="$(account parlance-pubsub)" \
        --set-env-vars="ENVIRONMENT=production,PUBSUB_PROJECT_ID=$PROJECT" "${RUN[@]}"
    run 900 gcloud run jobs execute parlance-pubsub --wait "${RUN[@]}" ||
        die "topics and subscriptions could not be made: nothing was deployed" \
            "$(quoted gcloud logging read 'resource.labels.job_name="parlance-pubsub"' --freshness=1h --limit=50 --project="$PROJECT")"
    if [[ -n $FIRST ]]; then grant_topics; fi
}

# All revisions are made and looked at before any gets traffic: most failures end here, with nothing to take back.
make_revisions() {
    local service
    for service in "${SERVICES[@]}"; do
        step "new revision of $service"
        make_revision "$service"
        if [[ -n ${SERVING[$service]} ]] && reachable "$service"; then
            healthy "${URL[$service]/https:\/\//https://$CANDIDATE---}" ||
                die "the new revision of $service is not healthy: it gets no traffic, nothing was changed in what is in service"
        fi
    done
}

# move_traffic with_pools|without_pools: from here on a failure takes back what was done (undo_traffic).
move_traffic() {
    local service revision moved=""
    step "traffic"
    PHASE=moving
    [[ $1 == without_pools ]] || move_pools
    for service in "${SERVICES[@]}"; do
        revision="REVISION_$(upper "$service")"
        if [[ ${BEFORE[$service]} != "${!revision}" ]]; then
            moved=yes
            # Also what an interrupted run had moved before this one.
            [[ -z ${BEFORE[$service]} ]] || MOVED+=("$service")
        fi
        if [[ -n ${SERVING[$service]} && ${SERVING[$service]} != "${!revision}" ]]; then
            shift_traffic "$service" "${!revision}" || die "the traffic of $service could not be given to ${!revision}"
        fi
        if reachable "$service"; then
            healthy "${URL[$service]}" || die "$service is not healthy"
        fi
        if [[ $service == ingest-api ]] && reachable "$service"; then
            closed "${URL[$service]}" || die "ingest-api answers calls without a key, or not at all"
        fi
    done
    PHASE=""
    if [[ -n $moved ]]; then end_record replaced; else end_record kept; fi
}

# What was moved goes back, the last first. The schema stays: what was in service goes on with it.
undo_traffic() {
    local service index failed=""
    step "taking the traffic back" >&2
    for ((index = ${#MOVED[@]} - 1; index >= 0; index--)); do
        service=${MOVED[index]}
        if [[ $service == *-pool ]]; then
            put_image "$service" "${POOL_IMAGE[$service]}" || failed+=" $service"
        else
            shift_traffic "$service" "${BEFORE[$service]}" || failed+=" $service"
        fi
    done
    end_record kept || warn "the record of this deployment is still in the labels of $MIGRATE_JOB"
    if [[ -n $failed ]]; then
        printf 'error: could not be taken back:%s; repeat: %s %s rollback (pools: deploy the release before)\n' "$failed" "$0" "$ENV" >&2
        exit 4
    fi
    if [[ ${#MOVED[@]} -gt 0 ]]; then
        printf 'what was in service before is in service again\n' >&2
        exit 3
    fi
    exit 1
}

# `build`: the images alone, and what Terraform wants to know of them before there are services.
build() {
    local image
    name_release
    check_tools
    check_account
    enable_apis
    DEPLOY=script build_images
    say "for infra/envs/$ENV/terraform.tfvars:"
    say "first_images = {"
    for image in "${IMAGES[@]}"; do
        say "  ${image//-/_} = \"$(image_of "$image")\""
    done
    say "}"
}
