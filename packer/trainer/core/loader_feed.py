"""Batches of `packer.Loader` for one rank.

With A accumulated batches, batch a of rank r of W is the batch of rank r * A + a in a world of W * A ranks. So a step
has the same samples whether many ranks take one batch each or few ranks take several. A Pipe channel is one stream for
each rank; the rank takes its batches from the stream one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from packer.errors import DataSetError, PackerError
from packer.loading.loader import Loader, default_threads
from packer.loading.loader_spec import ChannelInput
from packer.loading.loader_state import HostShares
from packer.trainer.core.feed import Batch
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.recipe import EVALUATION_CROP
from packer.trainer.core.train_options import TrainOptions
from packer.trainer.core.world import World


class LoaderFeed:
    """One loader for each accumulated batch (one in all for a stream), and one for evaluation."""

    def __init__(self, options: TrainOptions, world: World, *, is_stream: bool) -> None:
        """Open the loaders; no record is read before the first batch is requested. Raises as `Loader`.

        Args:
            is_stream: True if the training split comes through Pipe channels.
        """
        self._options, self._world = options, world
        self._host_shares: HostShares = ()
        self._source = options.feeding.find(options.base_dir)
        num_loaders = 1 if is_stream else options.recipe.accumulation
        is_training = options.split in options.splits
        self._train = [self._open(options.split, part, num_loaders) for part in range(num_loaders * is_training)]
        self._turns = options.recipe.accumulation // num_loaders
        """Batches that a step takes from each loader."""
        self._eval = self._open(options.eval_split, 0, 1) if options.eval_split else None

    @property
    def steps(self) -> int:
        return self._train[0].steps // self._turns if self._train else 0

    @property
    def eval_steps(self) -> int:
        return self._eval.steps if self._eval else 0

    @property
    def decoder_id(self) -> str:
        return (self._train[0] if self._train else self._the_evaluation).decoder_id

    def training(self, progress: TrainingProgress) -> Iterator[tuple[Batch, ...]]:
        """Yield the rest of the epoch, from the loaders' current position on."""
        global_batch = self._train[0].spec.global_batch * self._turns
        left = self.steps - progress.position // global_batch
        if progress.position % global_batch:  # the epoch began with another size of the global batch
            left = (self._num_records() - progress.position) // global_batch
        iterators = [iter(loader) for loader in self._train]
        for step in range(left):
            yield tuple(
                self._next(iterator, self._options.split, step, left)
                for iterator in iterators
                for _ in range(self._turns)
            )
        for iterator in iterators:  # drain a stream: its last batches are too few for a step
            for _ in range(self._train[0].steps % self._turns):
                next(iterator)

    def evaluation(self) -> Iterator[Batch]:
        loader = self._the_evaluation
        batches = iter(loader)
        for step in range(loader.steps):
            yield self._next(batches, self._options.eval_split, step, loader.steps)

    def know_shares(self, host_shares: HostShares) -> None:
        self._host_shares = host_shares

    def state(self) -> dict[str, Any]:
        return self._train[0].state_dict(host_shares=self._host_shares)

    def resume(self, state: Mapping[str, Any], progress: TrainingProgress) -> bool:
        for loader in self._train:
            loader.load_state_dict(state, host_shares=self._host_shares)
        return not self._train or bool(self._train[0].state_dict()["position"])

    def report(self) -> str:
        return str(self._train[0].meter)

    def close(self) -> None:
        for loader in (*self._train, self._eval):
            if loader is not None:
                loader.close()
        if self._source is not None and self._world.rank == 0:
            from packer.loading.remote_feed import finish_hosts  # Arrow Flight, which few runs need

            finish_hosts(self._source)

    @property
    def _the_evaluation(self) -> Loader:
        if self._eval is None:
            raise DataSetError("expected an evaluation split, got none")
        return self._eval

    def _num_records(self) -> int:
        return self._train[0].manifest.split(self._options.split).num_records

    def _next(self, batches: Iterator[Batch], split: str, step: int, steps: int) -> Batch:
        try:
            return next(batches)
        except PackerError as error:
            rank, source = self._world.rank, self._options.data or self._options.base_dir
            raise DataSetError(
                f"{source}: split {split!r}: rank {rank} cannot read batch {step + 1} of {steps}: {error}"
            ) from None

    def _open(self, split: str, part: int, accumulation: int) -> Loader:
        options, world = self._options, self._world
        recipe = options.recipe
        channels = ChannelInput(
            base_dir=options.base_dir,
            local_rank=world.local_rank * accumulation + part,
            local_size=world.local_size * accumulation,
            manifest_uri=options.manifest,
        )
        return Loader(
            options.data or channels,
            split,
            batch_size=recipe.batch_size,
            image_px=recipe.image_size,
            rank=world.rank * accumulation + part,
            world=world.size * accumulation,
            threads=max(1, (options.reading.threads or default_threads()) // accumulation),
            where=options.reading.loader,
            cache=options.reading.cache,
            seed=options.seed,
            min_area=recipe.min_area,
            evaluation_crop=EVALUATION_CROP,
            store=options.store,
            fields=(),  # training needs class labels only
            pipe_timeout_s=options.pipe_timeout,
            feed=self._source or "",
        )
