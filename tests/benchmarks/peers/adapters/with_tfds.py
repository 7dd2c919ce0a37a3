"""TensorFlow Datasets: a GeneratorBasedBuilder that yields encoded JPEG, which its Image feature stores as it is.

A builder generates in one process (or on Beam, which is a cluster's).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import tensorflow_datasets as tfds
from interface import PackJob, run
from pillow_resize import shrink

_images: list[str] = []
"""A builder takes no inputs of its own."""


class Photographs(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"image": tfds.features.Image(encoding_format="jpeg"), "name": tfds.features.Text()}
        # Not dataset_info_from_configs, which looks for files of metadata in the builder's package; this has none.
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, object]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, object]]]:
        for path in _images:
            name = os.path.basename(path)
            yield name, {"image": io.BytesIO(shrink(path)), "name": name}


def pack(job: PackJob) -> None:
    _images.extend(job.images)
    config = tfds.download.DownloadConfig(num_shards=job.shards)
    Photographs(data_dir=job.dest).download_and_prepare(download_config=config)


if __name__ == "__main__":
    run(pack=pack)
