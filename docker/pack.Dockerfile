# An image that packs with the local engine:
#     docker build -f docker/pack.Dockerfile -t shardpack .
#     mkdir -p shards
#     docker run --rm --user "$(id -u):$(id -g)" -v /photographs:/in:ro -v "$PWD/shards:/out" shardpack \
#         pack /in /out/set --gpus 8
# --user: the image's own user could neither read what is yours alone nor write to a folder of yours.
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
