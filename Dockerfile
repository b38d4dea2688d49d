# One image for every command: docker build --tag lti-key-operator:0.1.0 .
#
# For a release, pin the base image by digest: --build-arg NODE_IMAGE=node:24-slim@sha256:…
ARG NODE_IMAGE=docker.io/library/node:24-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY dev/build.ts dev/
COPY src src
# Without this package.json, Node treats .js files as CommonJS.
RUN npm run build && echo '{ "type": "module" }' > dist/package.json

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="lti-key-operator" \
      org.opencontainers.image.description="Owns, rotates and publishes the signing keys of LTI 1.3 tools" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/dist /app
# Otherwise the C library keeps a memory arena for each thread that generates keys.
ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=2
# By number, so that Kubernetes can verify that it is not root.
USER 65532:65532
# By default, V8 lets the space for new objects grow to 48 MiB under load, and never shrinks it.
ENTRYPOINT ["node", "--disable-sigusr1", "--max-semi-space-size=2", "/app/lti-key-operator.js"]
