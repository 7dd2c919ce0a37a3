# An image that trains on CPUs, with one framework:
#     docker build -f docker/train.Dockerfile -t shardpack-train .                                          PyTorch
#     ... --build-arg FRAMEWORK=tensorflow --build-arg PACKAGES='tensorflow-cpu==2.20.0'                    Keras 3
#     ... --build-arg FRAMEWORK=mxnet --build-arg PYTHON=3.11 \
#         --build-arg PACKAGES='mxnet==1.9.1 numpy==1.23.5 pyarrow<26 setuptools<70'                        MXNet
# pip's PyTorch brings several GB of libraries for GPUs, which --build-arg PIP_INDEX_URL=... spares: pytorch.org/get-started
# names the index of those for CPUs. With the libraries, the image trains on GPUs too: torchrun, DistributedDataParallel,
# NCCL. Horovod's NCCL needs docker/train-cuda.Dockerfile.
#     docker run --rm -v /shards:/in:ro shardpack-train torchrun --nproc-per-node 2 -m packer.trainer --data /in
#     docker run --rm -v /shards:/in:ro shardpack-train horovodrun -np 2 --gloo python -m packer.trainer --data /in
# As a SageMaker training job, which starts it as `docker run IMAGE train`: that is docker/train, which hears of stops. It
# starts SageMaker's training toolkit, and that /opt/shardpack/train.py on each rank and data host (`shardpack sagemaker`
# writes the request). SageMaker runs it as root.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm AS build
ARG FRAMEWORK=torch
ARG PACKAGES="torch==2.13.0"
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make openmpi-bin libopenmpi-dev openssh-client
RUN python -m venv /opt/venv
# Horovod is compiled against the framework that is there, and tried on two ranks.
# hadolint ignore=SC2086
RUN /opt/venv/bin/pip install $PACKAGES
COPY docker/install_horovod.sh /src/docker/install_horovod.sh
RUN unset PIP_INDEX_URL && /src/docker/install_horovod.sh "$FRAMEWORK" /opt/venv/bin/python /tmp/wheels \
 && /opt/venv/bin/pip uninstall -y cmake
# The toolkit names older releases of what it needs than frameworks do, and needs SciPy, gevent and Werkzeug for data that
# this trainer does not read, so it comes without its requirements, and what it loads when it starts a job is named. It runs
# ranks as `python -m mpi4py`.
RUN unset PIP_INDEX_URL && /opt/venv/bin/pip install --no-deps 'sagemaker-training==5.1.4' 'inotify-simple==1.2.1' \
 && /opt/venv/bin/pip install paramiko psutil retrying six mpi4py
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY packer packer
# hadolint ignore=SC2086
RUN unset PIP_INDEX_URL && /opt/venv/bin/pip install $PACKAGES . \
 && find /opt/venv/lib -type d \( -name test -o -name tests \) -prune -exec rm -r {} + \
 && /opt/venv/bin/python -c 'import sagemaker_training.trainer, packer.trainer.cli'

FROM python:${PYTHON}-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends openmpi-bin openssh-client openssh-server \
 && rm -rf /var/lib/apt/lists/*
# The hosts of a job reach each other by ssh, with a key that all containers of this image have.
RUN mkdir -p /run/sshd /root/.ssh \
 && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 \
 && cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys \
 && printf 'Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n' > /root/.ssh/config \
 && chmod 600 /root/.ssh/config \
 && sed -i 's/session\s*required\s*pam_loginuid.so/session optional pam_loginuid.so/' /etc/pam.d/sshd
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/shardpack/bin:/opt/venv/bin:$PATH
COPY docker/train /opt/shardpack/bin/train
COPY docker/train.py /opt/shardpack/train.py
CMD ["python", "-m", "packer.trainer", "--help"]
