# shellcheck shell=bash
# What must be there before anything is changed, each with what to do if it is not.

readonly APIS=(
    artifactregistry cloudbuild cloudresourcemanager compute iam iamcredentials logging monitoring pubsub run secretmanager
    servicenetworking sqladmin
)

check_tools() {
    local tool
    command -v gcloud >/dev/null || die "there is no gcloud" "install it: https://cloud.google.com/sdk/docs/install"
    command -v timeout >/dev/null || die "there is no timeout" "apt-get install coreutils, or: brew install coreutils"
    for tool in "$@"; do
        command -v "$tool" >/dev/null || die "there is no $tool" "install it: apt-get install $tool, or: brew install $tool"
    done
}

check_account() {
    step "account and project"
    local who billing
    who=$(query gcloud auth list --filter=status:ACTIVE --format='value(account)')
    [[ -n $who ]] || die "nobody is logged in" "gcloud auth login" "in CI: google-github-actions/auth, or Cloud Build's own account"
    look_up PROJECT_NUMBER gcloud projects describe "$PROJECT" --format='value(projectNumber)' ||
        die "there is no project $PROJECT that $who may see" "gcloud projects create $PROJECT, or set PROJECT"
    say "$who, project $PROJECT ($PROJECT_NUMBER), region $REGION"
    # Who deploys need not be allowed to see the billing: then it shows soon enough.
    if billing=$(timeout --foreground 60 gcloud billing projects describe "$PROJECT" --format='value(billingEnabled)' 2>/dev/null); then
        [[ $billing == True ]] || die "project $PROJECT has no billing account" \
            "gcloud billing accounts list" "gcloud billing projects link $PROJECT --billing-account=ACCOUNT"
    else
        say "billing: could not be seen"
    fi
}

enable_apis() {
    step "APIs"
    local enabled api missing=()
    enabled=$(query gcloud services list --enabled "${CLOUD[@]}" --format='value(config.name)')
    for api in "${APIS[@]}"; do
        grep -qx "$api.googleapis.com" <<<"$enabled" || missing+=("$api.googleapis.com")
    done
    if [[ ${#missing[@]} == 0 ]]; then
        say "all are enabled"
    else
        run 600 gcloud services enable "${missing[@]}" "${CLOUD[@]}"
    fi
}

# Names, never values. Remembers the newest version of each: revisions are tied to the version that they were tested with.
check_secrets() {
    step "secrets"
    local secret names=("$@") commands=() version
    for secret in "${names[@]}"; do
        if ! there gcloud secrets describe "$secret" "${CLOUD[@]}" --format='value(name)'; then
            commands+=("$(command_for "$secret" create --replication-policy=user-managed --locations="$REGION")")
            continue
        fi
        version=$(query gcloud secrets versions list "$secret" "${CLOUD[@]}" --filter=state:enabled \
            --sort-by=~createTime --limit=1 --format='value(name.basename())')
        if [[ -z $version ]]; then
            commands+=("$(command_for "$secret" "versions add")")
            continue
        fi
        SECRET_VERSIONS["$secret"]=$version
        say "$secret: version $version"
    done
    if [[ ${#commands[@]} -gt 0 ]]; then
        die "secrets are missing: create each with its command, then repeat this one" "${commands[@]}"
    fi
}

# A value is typed or made, and never a word of a command: those are seen by all on the machine, and kept in its history.
command_for() {
    local secret=$1 verb=$2 source
    shift 2
    case $secret in
        id-secret | db-password) source="openssl rand -hex 32 | tr -d '\\n'" ;;
        *) source="(read -rsp '$secret: ' value && printf %s \"\$value\")" ;;
    esac
    # shellcheck disable=SC2086 # the verb is two words
    printf '%s | %s' "$source" "$(quoted gcloud secrets $verb "$secret" --project="$PROJECT" "$@" --data-file=-)"
}
