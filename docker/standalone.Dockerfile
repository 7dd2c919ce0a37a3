# Spark's own cluster with the package, for trying jobs at home: docker/compose.yaml starts a master, workers and a job.
FROM python:3.11-slim-bookworm
ARG PYSPARK="pyspark>=3.5,<3.6"
RUN apt-get update \
 && apt-get install -y --no-install-recommends openjdk-17-jre-headless procps \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY packer packer
RUN pip install --no-cache-dir "$PYSPARK" 'pandas>=1.5' 'moto[server]>=5' .
RUN useradd --create-home spark
USER spark
WORKDIR /home/spark
