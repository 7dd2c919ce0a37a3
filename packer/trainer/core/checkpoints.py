"""Checkpoints of one run, which rank 0 alone reads and writes.

    MODEL_DIR/checkpoints/step-00000120.pt      the state of model and optimizer, as the framework writes it
    MODEL_DIR/checkpoints/step-00000120.json    its document: progress, size and sha256 of the state; written last

A checkpoint is whole if its document exists and the state has the size and digest that the document states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from packer.errors import DataSetError
from packer.specs import StoreOptions
from packer.stores.open_store import open_store
from packer.trainer.core.metrics import EvaluationResult
from packer.trainer.core.progress_state import TrainingProgress

VERSION = 1
_PREFIX = "checkpoints/step-"
_DOCUMENT_SUFFIX = ".json"
_REMEDY = "name another `model_dir`, or start anew with `resume=never`"

Warn = Callable[[str], None]


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class CheckpointDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a checkpoint, written after its state."""

    version: int = VERSION
    framework: str
    model: str
    manifest_digest: str
    split: str
    batch_size: int
    """Samples of a step over all ranks, accumulated batches included."""
    world: int
    progress: TrainingProgress
    is_epoch_end: bool
    loader: dict[str, Any]
    """State of the loader; empty if it has none."""
    state_key: str
    state_bytes: int
    state_sha256: str
    evaluation: EvaluationResult | None = None
    """Result of the evaluation after this epoch; None until it is known."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that a run must share with a checkpoint to resume from it."""

    framework: str
    model: str
    manifest_digest: str
    split: str


class FoundCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A whole checkpoint."""

    document: CheckpointDocument
    state: bytes


class Checkpoints:
    """The newest states of a run, and the best one."""

    def __init__(self, model_dir: str, options: StoreOptions, identity: Identity, warn: Warn) -> None:
        """Args: options: for reading; `anonymous` is ignored, since writing to a bucket needs credentials."""
        self._store = open_store(model_dir, msgspec.structs.replace(options, anonymous=False))
        self._identity = identity
        self._warn = warn

    def newest(self) -> FoundCheckpoint | None:
        """Return the newest whole checkpoint, or None if there is no checkpoint at all.

        Incomplete checkpoints are skipped with a warning.

        Raises:
            DataSetError: the newest belongs to another training, or there are checkpoints and none is whole.
            StoreError, OSError: the store cannot be read.
        """
        keys = self._keys()
        for key in keys:
            document = self._read_document(key)
            if document is None:
                continue
            self._check(key, document)
            state = self._read_state(document)
            if state is not None:
                return FoundCheckpoint(document=document, state=state)
        if keys:
            raise DataSetError(f"{self._store.uri}/checkpoints: none of {len(keys)} checkpoints is whole; {_REMEDY}")
        return None

    def save(self, document: CheckpointDocument, state: bytes, *, keep: int) -> None:
        """Write a checkpoint; then remove all but the newest `keep` and the most accurate one. Raises OSError."""
        self._store.put(document.state_key, [state])
        self.put_document(document)
        self._prune(keep)

    def put_document(self, document: CheckpointDocument) -> None:
        """Write or replace a checkpoint's document. Raises OSError."""
        self._store.put(
            f"{_PREFIX}{document.progress.steps_done:08d}{_DOCUMENT_SUFFIX}", [msgspec.json.encode(document)]
        )

    def delete_all(self) -> None:
        """Remove all checkpoints, the newest first. Raises StoreError, OSError."""
        for key in self._keys():
            self._delete(key, self._read_document(key))

    def _keys(self) -> list[str]:
        """Return the keys of all documents, newest first."""
        keys = (info.key for info in self._store.list(_PREFIX))
        return sorted((key for key in keys if key.endswith(_DOCUMENT_SUFFIX)), reverse=True)

    def _read_document(self, key: str) -> CheckpointDocument | None:
        content = self._store.get(key)
        try:
            version = msgspec.json.decode(content, type=_Versioned).version
            if version == VERSION:
                return msgspec.json.decode(content, type=CheckpointDocument)
        except msgspec.MsgspecError as error:
            self._pass_over(key, f"it cannot be read ({error})")
            return None
        raise DataSetError(
            f"{self._store.uri}/{key}: expected a checkpoint of version {VERSION}, found {version}; "
            "a newer shardpack is needed"
        )

    def _read_state(self, document: CheckpointDocument) -> bytes | None:
        key = document.state_key
        try:
            state = self._store.get(key)
        except FileNotFoundError:
            self._pass_over(key, "it is missing")
            return None
        if len(state) != document.state_bytes:
            self._pass_over(key, f"expected {document.state_bytes:,} bytes, found {len(state):,}")
            return None
        if hashlib.sha256(state).hexdigest() != document.state_sha256:
            self._pass_over(key, "its bytes are not those that were written (sha256)")
            return None
        return state

    def _pass_over(self, key: str, reason: str) -> None:
        self._warn(f"{self._store.uri}/{key}: incomplete checkpoint passed over: {reason}")

    def _check(self, key: str, document: CheckpointDocument) -> None:
        for name in Identity.__struct_fields__:
            expected, found = getattr(self._identity, name), getattr(document, name)
            if expected != found:
                raise DataSetError(
                    f"{self._store.uri}/{key}: cannot go on from this checkpoint: expected {_LABELS[name]} {expected}, "
                    f"found {found}; {_REMEDY}"
                )

    def _prune(self, keep: int) -> None:
        documents = [(key, self._read_document(key)) for key in self._keys()]
        scored = [
            (document.evaluation.accuracy, key) for key, document in documents if document and document.evaluation
        ]
        best = max(scored, default=(0.0, ""))[1]
        for key, document in documents[keep:]:
            if key != best:
                self._delete(key, document)

    def _delete(self, key: str, document: CheckpointDocument | None) -> None:
        self._store.delete(key)  # the document first: a state without one is no checkpoint
        if document is not None:
            self._store.delete(document.state_key)


_LABELS = {
    "framework": "one of the framework",
    "model": "the model",
    "manifest_digest": "the data set (digest of manifest.json)",
    "split": "the split",
}
