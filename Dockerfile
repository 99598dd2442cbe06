# One image for all processes of CodeCrafter: web, worker, beat, migrations and engine proxy differ only in the command.
# The secret `ca` holds certificates to trust during the build, needed if a proxy on the network inspects TLS.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS frontend
WORKDIR /src/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi \
    && npm ci --ignore-scripts --no-audit --no-fund
COPY frontend ./
COPY templates /src/templates
COPY languages/editor.ts /src/languages/
RUN npm run --silent build

FROM ${PYTHON_IMAGE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt .
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && python3 -m venv /venv && /venv/bin/pip install --quiet --require-hashes -r requirements.txt

FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 codecrafter \
    && useradd --system --uid 10001 --gid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin codecrafter \
    && install -d -o codecrafter -g codecrafter /data
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    STATIC_ROOT=/srv/static \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /srv/codecrafter
COPY --from=packages /venv /venv
COPY . .
COPY --from=frontend /src/build/static build/static
# Skip the self-tests: some of these programs are invalid on purpose. The keys generated here are discarded with their
# folder. manage.py writes files readable by its own account only, but another account serves the static files.
RUN python -m compileall -q -x /selftests/ . /venv/lib \
    && DATA_DIR=/tmp/build STATIC_COMPRESS=on python manage.py collectstatic --no-input --verbosity 0 \
    && chmod -R a+rX "$STATIC_ROOT" \
    && rm -r /tmp/build frontend
USER codecrafter
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"]
CMD ["python", "manage.py", "serve"]
