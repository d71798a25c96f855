# syntax=docker/dockerfile:1
# The image of bench: a binary that knows its certificates and nothing else, not root, without a shell.
#
#   docker build -t bench .
#   docker run --rm -v "$PWD/scenarios:/scenarios:ro" -v "$PWD/results:/results" \
#     bench run /scenarios/quickstart.toml --results /results
#
# The results folder must be writable for user 65532. For GPU telemetry on the host of the service, add
# `--gpus all` (NVIDIA container toolkit); the driver's libraries are then mounted into the container.
ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay outside the image, and the binary is copied out of its cache in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin bench \
 && install -D target/release/bench /out/bench \
 && mkdir /out/results

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/bench /usr/local/bin/bench
COPY --from=build --chown=65532:65532 /out/results /results
COPY --chown=65532:65532 scenarios /scenarios
USER 65532:65532
WORKDIR /
# What is mounted of the driver, should a GPU be given to the container: NVML for telemetry (utility), and CUDA
# for `bench gpu` and the reference API (compute). Without one, both say that there is none.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
LABEL org.opencontainers.image.title="bench" \
      org.opencontainers.image.description="The performance gate that a GPU inference service must pass before a release" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT"
ENTRYPOINT ["/usr/local/bin/bench"]
CMD ["--help"]
