# Two images from scratch, with an interpreter, its libraries and the modules that the server imports; no shell, no pip.
#   simulator   simulator only: no TLS, no stores except memory
#   full        all features; the default
# Builds with docker, podman and buildah: `make image` or `docker build .`; see docs/operations.md.

ARG BASE=docker.io/library/debian:bookworm-slim
FROM ${BASE} AS build

RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends \
    binutils ca-certificates openssl python3.11-venv
WORKDIR /build
RUN python3.11 -m venv venv
COPY pyproject.toml constraints.txt LICENSE README.md ./
# Dependencies first, because they change less often than the sources. If pip needs a configuration or a certificate to
# reach its index, pass them as secrets, which are in no layer.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt,target=/run/ca.crt \
    mkdir -p src/tokenfall && echo '__version__ = "0"' > src/tokenfall/__init__.py && \
    PIP_CONSTRAINT=constraints.txt venv/bin/pip install -q --disable-pip-version-check --no-cache-dir --no-compile \
    hatchling editables '.[redis,scripts]'
COPY src src
COPY scripts/image scripts/image
RUN venv/bin/pip install -q --disable-pip-version-check --no-compile --no-deps --no-build-isolation --no-index \
    --force-reinstall .
# Running the server determines the files, and running it again on these files tests them; see scripts/image.
# Bytecode without column numbers is a quarter smaller, on disk and in memory; tracebacks still have line numbers.
ENV PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PYTHONNODEBUGRANGES=1


FROM build AS simulator-files
RUN python3.11 -m scripts.image simulator venv/lib/python3.11/site-packages /image


FROM build AS full-files
RUN python3.11 -m scripts.image full venv/lib/python3.11/site-packages /image && mkdir /data


FROM scratch AS simulator

COPY --from=simulator-files /image /

# One malloc arena: only one thread of the server is busy, and memory freed in another arena could not be reused.
ENV HOST=0.0.0.0 \
    PORT=8080 \
    MALLOC_ARENA_MAX=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONOPTIMIZE=2 \
    PYTHONPATH=/opt/tokenfall \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="tokenfall-simulator" \
      org.opencontainers.image.description="Simulates LLM streams: no TLS, no stores but memory" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
USER 10001:10001
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
# The health check runs within the container's 0.1 CPU and 20 MB: an interpreter and one socket, only once a minute.
HEALTHCHECK --interval=60s --timeout=10s --start-period=30s --retries=3 \
    CMD ["/usr/bin/python3.11", "-S", "-m", "tokenfall", "health"]
ENTRYPOINT ["/usr/bin/python3.11", "-S", "-m", "tokenfall"]
CMD ["serve"]


FROM scratch AS full

COPY --from=full-files /image /
# For a volume: HISTORY_URL=sqlite:////data/chat.db
COPY --from=full-files --chown=10001:10001 /data /data

ENV HOST=0.0.0.0 \
    PORT=8080 \
    MALLOC_ARENA_MAX=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONOPTIMIZE=2 \
    PYTHONPATH=/opt/tokenfall \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="tokenfall" \
      org.opencontainers.image.description="An LLM streaming server: simulates a model or serves one" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
USER 10001:10001
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=10s --start-period=30s --retries=3 \
    CMD ["/usr/bin/python3.11", "-S", "-m", "tokenfall", "health"]
ENTRYPOINT ["/usr/bin/python3.11", "-S", "-m", "tokenfall"]
CMD ["serve"]
