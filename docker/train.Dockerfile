# An image that trains on CPUs with Horovod, under TensorFlow or (--build-arg FRAMEWORK=mxnet) MXNet, on x86-64:
#     docker build -f docker/train.Dockerfile -t shardpack-train .
#     docker run --rm -v /shards:/in:ro shardpack-train --help
# For two processes:  docker run --rm --entrypoint horovodrun ... shardpack-train -np 2 python -m packer.trainer ...
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY packer packer
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
ARG FRAMEWORK=tensorflow
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ cmake make openmpi-bin libopenmpi-dev openssh-client \
 && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel=$(ls /wheels/*.whl) \
 && pip install --no-cache-dir 'setuptools<70' wheel "${wheel}[$FRAMEWORK]"
# Horovod is compiled against the framework that is installed, so it comes last and without build isolation.
RUN HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITH_MPI=1 \
    pip install --no-cache-dir --no-build-isolation 'horovod==0.28.1'
RUN useradd --create-home trainer
USER trainer
WORKDIR /home/trainer
ENTRYPOINT ["python", "-m", "packer.trainer"]
