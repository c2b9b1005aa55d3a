# Portraits on the CPU: docker build -t portraitist . && docker run --rm -v "$PWD:/work" portraitist stylize me.jpg
FROM python:3.13-slim AS build
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.13-slim
COPY --from=build /wheels /wheels
# The newest versions are wanted: pyproject.toml bounds them.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --no-compile torch --index-url https://download.pytorch.org/whl/cpu \
    && for wheel in /wheels/*.whl; do pip install --no-cache-dir --no-compile "${wheel}[web,heic]"; done \
    && rm -rf /wheels \
    && useradd --create-home --uid 1000 portraitist \
    && mkdir /work && chown portraitist /work
USER 1000
WORKDIR /work
ENTRYPOINT ["portraitist"]
CMD ["--help"]
