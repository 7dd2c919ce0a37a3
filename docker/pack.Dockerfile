# An image that packs with the local engine:
#     docker build -f docker/pack.Dockerfile -t shardpack .
#     docker run --rm -v /photographs:/in:ro -v /shards:/out shardpack pack /in /out/set --gpus 8
# Spark brings an image, a Java and a PySpark of its own; install the wheel there instead.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY packer packer
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl
RUN useradd --create-home packer
USER packer
WORKDIR /home/packer
ENTRYPOINT ["shardpack"]
