# One image for every command: docker build --tag lti-key-operator:0.1.0 .
#
# NODE_IMAGE builds, and brings the program `node`. RUNTIME_IMAGE needs only the C and C++ libraries, no shell and no package manager.
# A release names both by digest (docs/releases.md).
ARG NODE_IMAGE=docker.io/library/node:24-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot
# Docker sets them. Buildah 1.28 sets the first to the target, so the release passes both.
ARG BUILDPLATFORM
ARG TARGETPLATFORM

# On the platform of the machine that builds: the bundle is the same for all, so nothing runs under emulation.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY dev/build.ts dev/
COPY src src
# Without this package.json, Node treats .js files as CommonJS.
RUN npm run build && echo '{ "type": "module" }' > dist/package.json

# Buildah 1.28 uses the platform of the first stage for those that name none.
FROM --platform=$TARGETPLATFORM ${NODE_IMAGE} AS node

FROM --platform=$TARGETPLATFORM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="lti-key-operator" \
      org.opencontainers.image.description="Owns, rotates and publishes the signing keys of LTI 1.3 tools" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=build /build/dist /app
# Without MALLOC_ARENA_MAX, the C library keeps a memory arena for each thread that generates keys. The heap is that of
# deploy/deployment.yaml, for who runs the image without these manifests.
ENV PATH=/usr/local/bin:/usr/bin:/bin \
    NODE_ENV=production \
    NODE_OPTIONS=--max-old-space-size=320 \
    MALLOC_ARENA_MAX=2
# By number, so that Kubernetes can verify that it is not root.
USER 65532:65532
# By default, V8 lets the space for new objects grow to 48 MiB under load, and never shrinks it.
ENTRYPOINT ["node", "--disable-sigusr1", "--max-semi-space-size=2", "/app/lti-key-operator.js"]
