# An image for packing on EMR Serverless or EMR on EKS, of EMR's own image of the release:
#     docker build -f docker/spark.Dockerfile -t shardpack-spark .                                        EMR Serverless
#     ... --build-arg BASE=public.ecr.aws/emr-on-eks/spark/emr-7.13.0:latest                              EMR on EKS
# Push it to a registry of yours; name it as the image of the application, or with `shardpack submit emr-eks --image`.
# EMR 7 runs Python 3.9 unless told otherwise, so the image brings 3.11 and names it to Spark.
ARG BASE=public.ecr.aws/emr-serverless/spark/emr-7.13.0:latest
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY packer packer
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# hadolint ignore=DL3006
FROM ${BASE}
USER root
# hadolint ignore=DL3041
RUN dnf install -y python3.11 python3.11-pip \
 && dnf clean all
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python3.11 -m pip install --no-cache-dir 'pandas>=1.5' /wheels/*.whl
ENV PYSPARK_PYTHON=/usr/bin/python3.11 PYSPARK_DRIVER_PYTHON=/usr/bin/python3.11
USER hadoop:hadoop
