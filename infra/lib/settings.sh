# shellcheck shell=bash
# Settings: infra/envs/ENV/deploy.env, then the environment, which wins. Read, never executed.

# In the order of a deployment: who reads new events comes before who writes them.
SERVICES=(persist-worker llm-worker ingest-api) POOLS=()
readonly IMAGES=(ingest-api llm-worker persist-worker parlance)
readonly SUBSCRIPTIONS=(llm-worker llm-memory persist-requests persist-replies webhooks)
readonly MIGRATE_JOB=parlance-migrate
readonly CANDIDATE=candidate

# Name, default, and the pattern of what is accepted.
readonly KEYS=(
    "PROJECT||[a-z][a-z0-9-]{4,28}[a-z0-9]"
    "REGION|europe-west1|[a-z]+-[a-z]+[0-9]+"
    "INFRASTRUCTURE|terraform|terraform|script"
    "DEPLOY|script|script|event"
    "BUILDER|cloud|cloud|docker"
    "WORKERS|services|services|pools"
    "RELEASES|tags|tags|commits"
    "SECRETS|id-secret llm-api-key|[a-z0-9 -]+"
    "INGEST_CHECK|open|open|none"
    "INGEST_API_MIN|0|[0-9]+"
    "INGEST_API_MAX|5|[1-9][0-9]*"
    "LLM_WORKER_MIN|0|[0-9]+"
    "LLM_WORKER_MAX|5|[1-9][0-9]*"
    "PERSIST_WORKER_MIN|0|[0-9]+"
    "PERSIST_WORKER_MAX|5|[1-9][0-9]*"
    "SQL_TIER|db-g1-small|db-[a-z0-9-]+"
    "SQL_AVAILABILITY|zonal|zonal|regional"
)

read_settings() {
    local file="$ROOT/infra/envs/$ENV/deploy.env" line number=0 key value entry default accepted
    [[ -r $file ]] || die "there is no $file" "copy infra/envs/dev/deploy.env and set PROJECT"
    declare -A given=()
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $line =~ ^([A-Z_]+)=(.*)$ ]] || misuse "$file, line $number is not NAME=VALUE: $line"
        key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
        [[ " ${KEYS[*]%%|*} " == *" $key "* ]] || misuse "$file, line $number: there is no setting $key"
        given[$key]=$value
    done <"$file"
    for entry in "${KEYS[@]}"; do
        key=${entry%%|*} entry=${entry#*|}
        default=${entry%%|*} accepted=${entry#*|}
        value=${!key:-${given[$key]:-$default}}
        if [[ -z $value ]]; then
            misuse "$key is not set: name it in infra/envs/$ENV/deploy.env or in the environment"
        fi
        [[ $value =~ ^($accepted)$ ]] || misuse "$key=$value: accepted is $accepted"
        printf -v "$key" '%s' "$value"
    done
    if [[ $WORKERS == pools ]]; then
        [[ $INFRASTRUCTURE == terraform ]] || misuse "WORKERS=pools: Terraform makes them (delivery = \"pull\")"
        SERVICES=(ingest-api) POOLS=(persist-worker-pool llm-worker-pool)
    fi
    HOST="$REGION-docker.pkg.dev"
    REPOSITORY="$HOST/$PROJECT/parlance"
    CLOUD=(--project="$PROJECT" --quiet)
    RUN=(--region="$REGION" --project="$PROJECT" --quiet)
    read_service_settings
}

# What the three services are told besides what follows from the infrastructure: infra/envs/ENV/services.env, only where the
# script makes the services. Terraform has its own place for them.
read_service_settings() {
    SERVICE_SETTINGS=()
    local file="$ROOT/infra/envs/$ENV/services.env" line
    [[ $INFRASTRUCTURE == script ]] || return 0
    [[ -r $file ]] || die "there is no $file, and INFRASTRUCTURE=script" "it holds lines such as LLM_BASE_URL=https://…"
    while IFS= read -r line || [[ -n $line ]]; do
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $line =~ ^[A-Z][A-Z0-9_]*=.+$ ]] || misuse "$file: not NAME=VALUE: $line"
        [[ $line != *'|'* ]] || misuse "$file: a value can't have a |: $line"
        # Whoever may look at a service sees its variables.
        if [[ $line =~ ^[A-Z0-9_]*(SECRET|PASSWORD|API_KEY)= || $line =~ ^DATABASE_URL= ]]; then
            misuse "$file: ${line%%=*} is a secret: it belongs into Secret Manager"
        fi
        SERVICE_SETTINGS+=("$line")
    done <"$file"
}

account() { printf '%s@%s.iam.gserviceaccount.com' "$1" "$PROJECT"; }
# ingest-api: INGEST_API.
upper() { local name=${1//-/_}; printf '%s' "${name^^}"; }
# Known before the service exists.
address_of() { printf 'https://%s-%s.%s.run.app' "$1" "$PROJECT_NUMBER" "$REGION"; }
