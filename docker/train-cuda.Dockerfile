# An image that trains on NVIDIA GPUs under Horovod with NCCL, with one framework:
#     docker build -f docker/train-cuda.Dockerfile -t shardpack-train-cuda .                                PyTorch
#     ... --build-arg FRAMEWORK=tensorflow --build-arg PACKAGES='tensorflow[and-cuda]==2.20.0'              Keras 3
# It has been linted, and neither built nor run. CUDA has to be that of the framework's packages. For PyTorch without Horovod
# docker/train.Dockerfile is enough. SageMaker's toolkit and docker/train are in it as they are there.
ARG CUDA=12.8.1-cudnn
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build
ARG FRAMEWORK=torch
ARG PACKAGES="torch==2.13.0"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_CUDA_HOME=/usr/local/cuda
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make openmpi-bin libopenmpi-dev openssh-client python3-dev python3-venv
RUN python3 -m venv /opt/venv
# hadolint ignore=SC2086
RUN /opt/venv/bin/pip install $PACKAGES
COPY docker/install_horovod.sh /src/docker/install_horovod.sh
RUN /src/docker/install_horovod.sh "$FRAMEWORK" /opt/venv/bin/python /tmp/wheels && /opt/venv/bin/pip uninstall -y cmake
RUN /opt/venv/bin/pip install --no-deps 'sagemaker-training==5.1.4' 'inotify-simple==1.2.1' \
 && /opt/venv/bin/pip install paramiko psutil retrying six mpi4py
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY packer packer
# hadolint ignore=SC2086
RUN /opt/venv/bin/pip install $PACKAGES . \
 && find /opt/venv/lib -type d \( -name test -o -name tests \) -prune -exec rm -r {} + \
 && /opt/venv/bin/python -c 'import sagemaker_training.trainer, packer.trainer.cli'

FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04
RUN apt-get update \
 && apt-get install -y --no-install-recommends openmpi-bin openssh-client openssh-server python3 \
 && rm -rf /var/lib/apt/lists/*
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
