# shellcheck shell=bash
# Workers as worker pools, which pull (WORKERS=pools). They have no address, no tag and no share of traffic: a new image replaces the old
# one, and on a failure the old one the new.

look_at_pools() {
    local pool
    for pool in "${POOLS[@]}"; do
        look_up "POOL_IMAGE[$pool]" gcloud beta run worker-pools describe "$pool" "${RUN[@]}" \
            --format='value(spec.template.spec.containers[0].image)' ||
            die "there is no worker pool $pool in $REGION" "terraform -chdir=infra/envs/$ENV apply with delivery = \"pull\", or WORKERS=services"
    done
}

move_pools() {
    local pool
    for pool in "${POOLS[@]}"; do
        if [[ ${POOL_IMAGE[$pool]} == "$(image_of "${pool%-pool}")" ]]; then
            say "$pool is of this release"
            continue
        fi
        MOVED+=("$pool")
        put_image "$pool" "$(image_of "${pool%-pool}")" || die "$pool does not come up with the new image"
    done
}

put_image() { run 900 gcloud beta run worker-pools update "$1" --image="$2" "${RUN[@]}"; }
