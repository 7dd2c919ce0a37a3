# An image that trains with Horovod under TensorFlow on CPUs, on x86-64:
#     docker build -f docker/train.Dockerfile -t shardpack-train .
#     docker run --rm -v /shards:/in:ro shardpack-train python -m packer.trainer --data /in
# For two processes:  docker run --rm ... shardpack-train horovodrun -np 2 python -m packer.trainer ...
# As a SageMaker training job, which starts it as `docker run IMAGE train`: that is SageMaker's training toolkit, which
# starts /opt/shardpack/train.py on each rank (`shardpack sagemaker` writes the request). SageMaker runs it as root.
#
# On a GPU instance this image leaves the GPUs idle, and the trainer warns of it. For GPUs (untested) change
#   - the second FROM to an image with CUDA 12.2, cuDNN 8.9 and NCCL's headers, such as
#     nvidia/cuda:12.2.2-cudnn8-devel-ubuntu22.04, and install Python 3.11 with its headers and pip there;
#   - the first pip install: add 'tensorflow[and-cuda]==2.15.1';
#   - Horovod's: add HOROVOD_GPU_OPERATIONS=NCCL to its variables.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY packer packer
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
    g++ cmake make openmpi-bin libopenmpi-dev openssh-client openssh-server \
 && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel=$(ls /wheels/*.whl) \
 && pip install --no-cache-dir 'setuptools<70' wheel "${wheel}[tensorflow]"
# Horovod is compiled against the TensorFlow that is installed, so it comes last and without build isolation.
RUN HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITH_MPI=1 \
    pip install --no-cache-dir --no-build-isolation 'horovod==0.28.1'
# The toolkit asks for protobuf 5, which TensorFlow 2.15 refuses. It needs it, SciPy, gevent and Werkzeug for data that
# this trainer does not read, so it comes without its requirements, and what it loads when it starts a job is named.
# It runs ranks as `python -m mpi4py`.
RUN pip install --no-cache-dir --no-deps 'sagemaker-training==5.1.4' 'inotify-simple==1.2.1' \
 && pip install --no-cache-dir paramiko psutil retrying six mpi4py \
 && python -c 'import sagemaker_training.trainer'
# The hosts of a job reach each other by ssh, with a key that all containers of this image have.
RUN mkdir -p /run/sshd /root/.ssh \
 && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 \
 && cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys \
 && printf 'Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n' > /root/.ssh/config \
 && chmod 600 /root/.ssh/config \
 && sed -i 's/session\s*required\s*pam_loginuid.so/session optional pam_loginuid.so/' /etc/pam.d/sshd
COPY docker/train.py /opt/shardpack/train.py
CMD ["python", "-m", "packer.trainer", "--help"]
