# shellcheck shell=bash
# With INFRASTRUCTURE=script: what a first deployment needs and Terraform would otherwise make. Small and complete, not the
# whole of what Terraform makes: no alerts, no dashboards, no budget, no deploy workflow. Each thing is looked for first.

readonly NETWORK=parlance SUBNET=parlance-run SQL=parlance

# ensure WHAT LOOK-UP… -- COMMAND…: makes what is not there.
ensure() {
    local what=$1 looking=()
    shift
    while [[ $1 != -- ]]; do looking+=("$1") && shift; done
    shift
    if there "${looking[@]}"; then
        say "$what is there"
    else
        run 1800 "$@"
    fi
}

# Everything that the images and the migration need.
make_foundations() {
    step "registry"
    local repository
    for repository in parlance parlance-cache; do
        ensure "repository $repository" \
            gcloud artifacts repositories describe "$repository" --location="$REGION" "${CLOUD[@]}" --format='value(name)' -- \
            gcloud artifacts repositories create "$repository" --repository-format=docker --location="$REGION" "${CLOUD[@]}"
    done
    step "service accounts"
    local name
    for name in ingest-api llm-worker persist-worker parlance-migrate parlance-push parlance-pubsub parlance-build; do
        ensure "service account $name" \
            gcloud iam service-accounts describe "$(account "$name")" "${CLOUD[@]}" --format='value(email)' -- \
            gcloud iam service-accounts create "$name" --display-name="$name" "${CLOUD[@]}"
    done
    make_database
    grant_foundations
}

make_database() {
    step "network and database"
    ensure "network $NETWORK" gcloud compute networks describe "$NETWORK" "${CLOUD[@]}" --format='value(name)' -- \
        gcloud compute networks create "$NETWORK" --subnet-mode=custom "${CLOUD[@]}"
    ensure "subnet $SUBNET" gcloud compute networks subnets describe "$SUBNET" "${RUN[@]}" --format='value(name)' -- \
        gcloud compute networks subnets create "$SUBNET" --network="$NETWORK" --range=10.20.0.0/24 \
        --enable-private-ip-google-access "${RUN[@]}"
    ensure "address range parlance-services" \
        gcloud compute addresses describe parlance-services --global "${CLOUD[@]}" --format='value(name)' -- \
        gcloud compute addresses create parlance-services --global --purpose=VPC_PEERING --prefix-length=20 \
        --network="$NETWORK" "${CLOUD[@]}"
    local peering
    look_up peering gcloud services vpc-peerings list --network="$NETWORK" "${CLOUD[@]}" --format='value(peering)' || true
    if [[ -z $peering ]]; then
        run 600 gcloud services vpc-peerings connect --network="$NETWORK" --ranges=parlance-services \
            --service=servicenetworking.googleapis.com "${CLOUD[@]}"
    fi
    ensure "database server $SQL" gcloud sql instances describe "$SQL" "${CLOUD[@]}" --format='value(name)' -- \
        gcloud sql instances create "$SQL" --database-version=POSTGRES_17 --edition=enterprise --tier="$SQL_TIER" \
        --availability-type="$SQL_AVAILABILITY" --network="$NETWORK" --no-assign-ip --ssl-mode=ENCRYPTED_ONLY \
        --database-flags=cloudsql.iam_authentication=on --enable-point-in-time-recovery --backup-start-time=02:00 \
        --storage-auto-increase --deletion-protection --region="$REGION" --timeout=1700 "${CLOUD[@]}"
    ensure "database parlance" \
        gcloud sql databases describe parlance --instance="$SQL" "${CLOUD[@]}" --format='value(name)' -- \
        gcloud sql databases create parlance --instance="$SQL" "${CLOUD[@]}"
    local users service
    look_up users gcloud sql users list --instance="$SQL" "${CLOUD[@]}" --format='value(name)' || true
    # The schema's owner has a password, which only the migrate job gets; the services log in by IAM and may read and
    # write rows. It goes from Secret Manager to Cloud SQL by a pipe: it is no word of any command.
    if ! grep -qx parlance <<<"$users"; then set_owner_password create; fi
    for service in "${SERVICES[@]}"; do
        grep -qx "$(database_login "$service")" <<<"$users" ||
            run 600 gcloud sql users create "$(database_login "$service")" --instance="$SQL" \
                --type=cloud_iam_service_account "${CLOUD[@]}"
    done
}

# Cloud SQL's name for a service account.
database_login() { printf '%s@%s.iam' "$1" "$PROJECT"; }

set_owner_password() {
    local read write
    read=$(quoted gcloud secrets versions access "${2:-latest}" --secret=db-password "${CLOUD[@]}")
    write=$(quoted gcloud sql users "$1" parlance --instance="$SQL" --flags-file=/dev/stdin "${CLOUD[@]}")
    run_shell "$read | sed \"s/.*/--password: '&'/\" | $write"
}

grant_foundations() {
    step "permissions"
    local service name agent
    for service in "${SERVICES[@]}"; do
        on_project roles/cloudsql.instanceUser "$service"
    done
    on_secret id-secret ingest-api
    if webhooks_on; then on_secret id-secret persist-worker; fi
    # shellcheck disable=SC2153 # two settings
    for name in $SECRETS; do
        [[ $name != llm-* ]] || on_secret "$name" llm-worker
    done
    on_secret db-password parlance-migrate
    # Topics and subscriptions are made by `parlance pubsub setup`, by an account that does nothing else.
    on_project roles/pubsub.editor parlance-pubsub
    on_account parlance-push parlance-pubsub
    # infra/cloudbuild.md
    on_project roles/logging.logWriter parlance-build
    for name in parlance parlance-cache; do
        run 120 gcloud artifacts repositories add-iam-policy-binding "$name" --location="$REGION" \
            --member="serviceAccount:$(account parlance-build)" --role=roles/artifactregistry.writer "${CLOUD[@]}"
    done
    ensure "bucket ${PROJECT}_cloudbuild" \
        gcloud storage buckets describe "gs://${PROJECT}_cloudbuild" "${CLOUD[@]}" --format='value(name)' -- \
        gcloud storage buckets create "gs://${PROJECT}_cloudbuild" --location="$REGION" --uniform-bucket-level-access \
        --public-access-prevention "${CLOUD[@]}"
    run 120 gcloud storage buckets add-iam-policy-binding "gs://${PROJECT}_cloudbuild" \
        --member="serviceAccount:$(account parlance-build)" --role=roles/storage.objectViewer "${CLOUD[@]}"
    # Pub/Sub's own account moves dead letters and makes the tokens of pushes.
    run 120 gcloud beta services identity create --service=pubsub.googleapis.com "${CLOUD[@]}"
    agent="serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
    run 120 gcloud iam service-accounts add-iam-policy-binding "$(account parlance-push)" --member="$agent" \
        --role=roles/iam.serviceAccountTokenCreator "${CLOUD[@]}"
}

# Everything that needs topics.
grant_topics() {
    step "permissions on topics"
    local agent subscription
    agent="serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com"
    publishes ingest-api parlance-requests
    publishes llm-worker parlance-replies parlance-memory llm-worker-dead-letters llm-memory-dead-letters
    publishes persist-worker parlance-webhooks persist-requests-dead-letters persist-replies-dead-letters webhooks-dead-letters
    for subscription in "${SUBSCRIPTIONS[@]}"; do
        on_topic "$subscription-dead-letters" "$agent"
        run 120 gcloud pubsub subscriptions add-iam-policy-binding "$subscription" --member="$agent" \
            --role=roles/pubsub.subscriber "${CLOUD[@]}"
    done
}

publishes() {
    local name=$1 topic
    shift
    for topic in "$@"; do on_topic "$topic" "serviceAccount:$(account "$name")"; done
}
on_topic() {
    run 120 gcloud pubsub topics add-iam-policy-binding "$1" --member="$2" --role=roles/pubsub.publisher "${CLOUD[@]}"
}
on_project() {
    run 120 gcloud projects add-iam-policy-binding "$PROJECT" --member="serviceAccount:$(account "$2")" --role="$1" \
        --condition=None --quiet
}
on_secret() {
    run 120 gcloud secrets add-iam-policy-binding "$1" --member="serviceAccount:$(account "$2")" \
        --role=roles/secretmanager.secretAccessor "${CLOUD[@]}"
}
on_account() {
    run 120 gcloud iam service-accounts add-iam-policy-binding "$(account "$1")" \
        --member="serviceAccount:$(account "$2")" --role=roles/iam.serviceAccountUser "${CLOUD[@]}"
}
webhooks_on() { [[ " ${SERVICE_SETTINGS[*]} " == *" WEBHOOKS=on "* ]]; }

# With INFRASTRUCTURE=terraform: it is there, or Terraform is to be asked.
check_infrastructure() {
    step "infrastructure"
    local hint="terraform -chdir=infra/envs/$ENV apply, or INFRASTRUCTURE=script" name
    there gcloud artifacts repositories describe parlance --location="$REGION" "${CLOUD[@]}" --format='value(name)' ||
        die "there is no repository parlance in $REGION" "$hint"
    there gcloud run jobs describe "$MIGRATE_JOB" "${RUN[@]}" --format='value(metadata.name)' ||
        die "there is no job $MIGRATE_JOB" "$hint"
    for name in "${SUBSCRIPTIONS[@]}"; do
        there gcloud pubsub subscriptions describe "$name" "${CLOUD[@]}" --format='value(name)' ||
            die "there is no subscription $name" "$hint"
    done
    say "registry, job and subscriptions are there"
}
