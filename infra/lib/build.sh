# shellcheck shell=bash
# Images: what a release is, building it, its digests.

# RELEASE is what was asked for, or what the checkout is: the tag vX.Y.Z on its commit, or the commit itself. What is not committed
# can't be told apart later, so it is no release.
name_release() {
    local commit
    if [[ -z $RELEASE ]]; then
        git -C "$ROOT" rev-parse --git-dir >/dev/null 2>&1 ||
            misuse "this is no git checkout: name the release with --release"
        RELEASE=$(git -C "$ROOT" describe --tags --exact-match --match='v[0-9]*' HEAD 2>/dev/null || true)
        if [[ -z $RELEASE ]]; then
            commit=$(git -C "$ROOT" rev-parse --short=12 HEAD)
            RELEASE="g$commit"
        fi
        if [[ -z $NO_BUILD && -n $(git -C "$ROOT" status --porcelain --untracked-files=no) ]]; then
            misuse "there are changes that are not committed: commit them, or deploy what is built with --release and --no-build"
        fi
    fi
    # shellcheck disable=SC2153 # two settings
    if [[ $RELEASES == tags || $DEPLOY == event ]]; then
        [[ $RELEASE =~ ^v(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}$ ]] ||
            misuse "$RELEASE is no release of $ENV: tag the commit vX.Y.Z (RELEASES=tags), or name one with --release"
    fi
    [[ $RELEASE =~ ^[a-z0-9][a-z0-9._-]{0,62}$ && $RELEASE != latest ]] || misuse "$RELEASE can't be the tag of an image"
    # As the value of a label.
    RELEASE_LABEL=${RELEASE//./_}
}

# The images of this release, unless they are there. parlance is the last: with it the release is complete.
build_images() {
    step "images of $RELEASE"
    if there gcloud artifacts docker images describe "$REPOSITORY/parlance:$RELEASE" "${CLOUD[@]}" \
        --format='value(image_summary.digest)'; then
        say "they are built"
    elif [[ -n $NO_BUILD ]]; then
        die "there is no image $REPOSITORY/parlance:$RELEASE, and --no-build" "build it: cloudbuild.yaml, or without --no-build"
    elif started_by_push; then
        die "the push of $RELEASE would start the workflow parlance-deploy, and both would deploy" \
            "DEPLOY=event leaves it to the workflow; a commit without a tag vX.Y.Z starts none (RELEASES=commits)"
    elif [[ $BUILDER == docker ]]; then
        build_here
    else
        # _DEPLOY=event: the build ends with the images.
        run 7200 gcloud builds submit "$ROOT" --config="$ROOT/cloudbuild.yaml" --region="$REGION" \
            --service-account="projects/$PROJECT/serviceAccounts/$(account parlance-build)" \
            --substitutions="_REGION=$REGION,_ENV=$ENV,_RELEASE=$RELEASE,_DEPLOY=event,_TESTS=none" "${CLOUD[@]}" ||
            die "the build failed: its log is above, and in: gcloud builds list --region=$REGION --project=$PROJECT"
    fi
    [[ $DEPLOY == script ]] || return 0
    local image
    for image in "${IMAGES[@]}"; do
        capture "DIGEST_$(upper "$image")" 120 gcloud artifacts docker images describe "$REPOSITORY/$image:$RELEASE" \
            "${CLOUD[@]}" --format='value(image_summary.digest)'
    done
}

# Whether this script would deploy, and somebody else as well. Who may not look is believed.
started_by_push() {
    [[ $DEPLOY == script && $RELEASE == v* ]] && timeout --foreground 60 gcloud eventarc triggers describe parlance-image-pushed \
        --location="$REGION" "${CLOUD[@]}" --format='value(name)' >/dev/null 2>&1
}

build_here() {
    local image
    command -v docker >/dev/null || die "there is no docker" "install it: https://docs.docker.com/get-docker, or BUILDER=cloud"
    [[ -n $DRY_RUN ]] || docker buildx version >/dev/null 2>&1 || die "docker has no buildx" "apt-get install docker-buildx"
    run 120 gcloud auth configure-docker "$HOST" --quiet
    for image in "${IMAGES[@]}"; do
        run 7200 docker buildx build --platform=linux/amd64 --target="$image" --tag="$REPOSITORY/$image:$RELEASE" \
            --provenance=mode=max --sbom=true --push "$ROOT" || die "the build of $image failed: its log is above"
    done
}

# Where an image is, by its digest.
image_of() {
    local digest
    digest="DIGEST_$(upper "$1")"
    printf '%s/%s@%s' "$REPOSITORY" "$1" "${!digest}"
}
