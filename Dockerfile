# Four images of one build, each a target: ingest-api, llm-worker, persist-worker, parlance (operators' commands, the
# migration job, or everything in one process).
#
#   docker build --target ingest-api --tag ingest-api .
#
# Reproducible: the lock file is binding, paths are taken out of the programs, the folders are always the same, and every file
# has the time SOURCE_DATE_EPOCH. For images that are equal to the byte, BuildKit is to set the layers' times as well:
#
#   docker buildx build --target ingest-api --build-arg SOURCE_DATE_EPOCH=0 \
#       --output type=image,name=ingest-api,rewrite-timestamp=true .
#
# What stays open is the tag of the base image: it is built anew now and then. Pin it with
# --build-arg RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:…, where `docker buildx imagetools inspect
# rust:1.95.0-slim-bookworm` shows the digest. Nothing of it runs in production but glibc, libgcc and the list of authorities,
# whose versions are in the SBOM.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm

FROM ${RUST_IMAGE} AS chef
WORKDIR /src
RUN cargo install cargo-chef --locked --version 0.1.78

# What the dependencies are, and nothing else: the next stage is built anew only when they change.
FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM chef AS builder
# `dev` builds in a fraction of the time; for trying the image out.
ARG PROFILE=release
ARG SOURCE_DATE_EPOCH=0
# The queries are checked against what is in .sqlx.
ARG SQLX_OFFLINE=true
ARG RUSTFLAGS="--remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo/registry/src=registry"
COPY --from=planner /recipe.json /recipe.json
RUN cargo chef cook --locked --profile "$PROFILE" --recipe-path /recipe.json \
    --package ingest-api --package llm-worker --package persist-worker --package parlance
COPY . .
RUN cargo build --locked --profile "$PROFILE" \
    --package ingest-api --package llm-worker --package persist-worker --package parlance
# What each image holds: /images/base for all, /images/NAME for one.
RUN infra/containers/assemble.sh "$PROFILE" /images ingest-api llm-worker persist-worker parlance

# From scratch, with glibc and its parts as they are in the stage above, and not a distroless base or a static musl:
# - the same glibc that the tests ran on. With musl the programs would have another allocator (slower under many threads) and
#   another resolver; glibc linked statically can't look up names soundly.
# - everything in the image is ours to see: 3 libraries, the loader, the authorities. There is no shell and no package
#   manager. The packages' records are where scanners look for them (var/lib/dpkg/status.d), as in distroless images.
# - the image can be put together and started without an engine, so that CI does.
# All clients verify certificates with the authorities of the system (rustls-platform-verifier, rustls-native-certs).
FROM scratch AS base
COPY --from=builder /images/base /
ENV ENVIRONMENT=production
USER 65532:65532
EXPOSE 8080

FROM base AS ingest-api
COPY --from=builder /images/ingest-api /
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["/ingest-api", "health"]
ENTRYPOINT ["/ingest-api"]

FROM base AS llm-worker
COPY --from=builder /images/llm-worker /
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["/llm-worker", "health"]
ENTRYPOINT ["/llm-worker"]

FROM base AS persist-worker
COPY --from=builder /images/persist-worker /
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["/persist-worker", "health"]
ENTRYPOINT ["/persist-worker"]

# Without arguments everything in one process, with DB_TYPE=sqlite and a volume at /data. A job: `migrate init`.
FROM base AS parlance
COPY --from=builder /images/parlance /
COPY --from=builder --chown=65532:65532 /images/data /data
ENV DATA_DIR=/data
ENTRYPOINT ["/parlance"]
