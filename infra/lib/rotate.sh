# shellcheck shell=bash
# `rotate-secret NAME`: a new version, new revisions that use it, the old ones only off when asked. The value comes from standard
# input and goes nowhere else: not into a command's words, a variable of the environment, or what is printed.

rotate_secret() {
    local service variable new="$VERSION"
    case $SECRET in
        id-secret)
            die "id-secret is never rotated: ids are made and recognised with it" \
                "with another one no session, task or cursor that was ever handed out is found again, no API key is known any more," \
                "and receivers of webhooks refuse what is signed. If it leaked: revoke the API keys (parlance keys revoke), make" \
                "new ones; ids alone open nothing, as each call is checked for its owner."
            ;;
        llm-api-key | llm-fallback-api-key) service="llm-worker" ;;
        db-password) service="" ;;
        *) misuse "there is no secret $SECRET: llm-api-key, llm-fallback-api-key, db-password" ;;
    esac
    check_tools curl
    check_account
    there gcloud secrets describe "$SECRET" "${CLOUD[@]}" --format='value(name)' ||
        die "there is no secret $SECRET" "$(command_for "$SECRET" create --replication-policy=user-managed --locations="$REGION")"
    read_services
    refuse_split
    [[ $WORKERS == services || -z $service ]] || die "worker pools take a new version by Terraform" \
        "gcloud secrets versions add $SECRET --data-file=- --project=$PROJECT" "then set the version there, and apply"
    if [[ -n $service && -z ${SERVING[$service]} ]]; then die "there is no service $service in $REGION"; fi
    if [[ -z $new ]]; then add_version; else NEW_VERSION=$new; fi
    if [[ -n $service ]]; then
        variable=$(upper "$SECRET")
        use_version "$service" "$variable"
    else
        [[ $INFRASTRUCTURE == script ]] || die "only INFRASTRUCTURE=script has a password: Terraform's database has none"
        # Only the migrate job uses it, which reads the newest version.
        step "password of the schema's owner"
        set_owner_password set-password "$NEW_VERSION"
    fi
    if [[ -n $DISABLE_OLD ]]; then
        disable_old
    else
        say "earlier versions still work. Once nothing is to go back to them: $0 $ENV rotate-secret $SECRET --version=$NEW_VERSION --disable-old"
    fi
}

add_version() {
    local value=""
    step "new version of $SECRET"
    if [[ -z $DRY_RUN ]]; then
        [[ ! -t 0 ]] || misuse "the value comes from standard input: … | $0 $ENV rotate-secret $SECRET"
        IFS= read -r -d '' value || true
        value=${value%$'\n'}
        [[ -n $value ]] || misuse "standard input is empty: no version was made"
        [[ $value =~ ^[[:graph:]]+$ ]] || misuse "the value has spaces, line breaks or the like: no version was made"
        if [[ $SECRET == db-password && ! $value =~ ^[A-Za-z0-9._~-]+$ ]]; then
            misuse "letters, digits and . _ ~ - only, as in: openssl rand -hex 32"
        fi
        # printf is the shell's own: the value is in no process' words.
        NEW_VERSION=$(printf '%s' "$value" | timeout --foreground 120 gcloud secrets versions add "$SECRET" "${CLOUD[@]}" \
            --data-file=- --format='value(name.basename())')
        [[ $NEW_VERSION =~ ^[0-9]+$ ]] || die "no version was made of $SECRET"
        say "version $NEW_VERSION"
    else
        capture NEW_VERSION 120 gcloud secrets versions add "$SECRET" "${CLOUD[@]}" --data-file=- --format='value(name.basename())'
    fi
}

# As a deployment: a revision without traffic, its startup probe, then the traffic.
use_version() {
    local service=$1 variable other
    variable="REVISION_$(upper "$1")"
    step "new revision of $service with version $NEW_VERSION"
    begin_record "$SECRET-$NEW_VERSION"
    for other in "${SERVICES[@]}"; do
        if [[ $other != "$service" ]]; then printf -v "REVISION_$(upper "$other")" '%s' "${SERVING[$other]}"; fi
    done
    run 300 gcloud run jobs update "$MIGRATE_JOB" --update-labels="$BEGIN_LABELS" "${RUN[@]}"
    run 900 gcloud run services update "$service" --update-secrets="$2=$SECRET:$NEW_VERSION" --no-traffic --tag="$CANDIDATE" "${RUN[@]}" ||
        die "$service does not come up with version $NEW_VERSION: what is in service is still in service, with the version before"
    capture "$variable" 120 gcloud run services describe "$service" "${RUN[@]}" --format='value(status.latestCreatedRevisionName)'
    move_traffic without_pools
}

disable_old() {
    local versions version
    step "earlier versions of $SECRET"
    versions=$(query gcloud secrets versions list "$SECRET" "${CLOUD[@]}" --filter=state:enabled --format='value(name.basename())')
    for version in $versions; do
        if [[ -n $DRY_RUN && $NEW_VERSION == __* ]] || [[ $version -lt $NEW_VERSION ]]; then
            run 120 gcloud secrets versions disable "$version" --secret="$SECRET" "${CLOUD[@]}"
        fi
    done
    say "revisions that used them can't start any more: a rollback to one of those needs: gcloud secrets versions enable"
}
