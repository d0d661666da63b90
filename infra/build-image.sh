#!/bin/sh
# infra/build-image.sh IMAGE: builds and pushes one image, by its digest and without a tag, which it leaves in .build/IMAGE.digest.
# A step of cloudbuild.yaml, which sets REPOSITORY and CACHE; in docker:cli, so POSIX sh. KEEP=yes also keeps the layers for later
# builds.
set -eu
cd "$(dirname "$0")/.."
image=$1
mkdir -p .build
if [ "${KEEP:-}" = yes ]; then
    set -- --cache-to="type=registry,mode=max,ref=$CACHE"
else
    set --
fi
docker buildx build . --builder=release --platform=linux/amd64 --target="$image" --progress=plain \
    --build-arg=SOURCE_DATE_EPOCH=0 --cache-from="type=registry,ref=$CACHE" "$@" \
    --provenance=mode=max --sbom=true --metadata-file=".build/$image.json" \
    --output="type=image,name=$REPOSITORY/$image,push-by-digest=true,push=true,rewrite-timestamp=true"
sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' ".build/$image.json" >".build/$image.digest"
if ! grep -qE '^sha256:[0-9a-f]{64}$' ".build/$image.digest"; then
    echo "error: buildx did not say which digest it pushed: .build/$image.json" >&2
    exit 1
fi
