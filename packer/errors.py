"""Every error that shardpack raises on purpose.

    PackerError                      exit code 1: the work failed, or verification found a fault
    ├── OptionsError  (ValueError)   exit code 2: options or input that the user can mend
    │   └── SourceError              exit code 2: the source is missing, empty or unreadable
    ├── DestinationTakenError        another plan or a finished data set is at the destination
    │   └── ClaimLostError           another run has taken the destination over from this one
    ├── CorruptRecordError           a record or an index does not hold what its framing promises
    ├── DataSetError                 a data set is incomplete, edited or damaged
    │   ├── NotADataSetError         exit code 2: the folder or prefix holds no finished data set
    │   └── NewerVersionError        a newer release wrote a document of it
    ├── SourceChangedError           an item is no longer what the plan saw
    ├── EncoderMismatchError         a worker's encoder differs from the plan's
    ├── TooManyRejectsError          more items were rejected than `max_rejects` allows
    ├── WorkerError                  a worker died or a task raised something unforeseen
    │   └── TaskStalledError         a task waited for something that did not come
    ├── JobError                     a service of AWS refused a job, or a job that it took failed
    ├── StoreError    (OSError)      a bucket or another place failed, or has no such thing as was asked of it
    │   └── StoreAccessError (PermissionError)    it refused: no, wrong or expired credentials, or no permission
    └── MissingExtraError            an optional library is not installed

Messages say what failed, where, what was expected and what to do. Options stand in them by the names of their fields
in back quotes: `shard_size`, `encode=keep`, `resume=True`; command lines spell them as flags. All errors survive
pickling, since they cross process and Spark boundaries.
"""

from __future__ import annotations


class PackerError(Exception):
    """Base of all of the errors above; its text is one that a user can act on."""

    exit_code = 1


class OptionsError(PackerError, ValueError):
    """Options or input that the user can mend.

    Attributes:
        field: the option at fault, as the field of the options is named; empty where it is not one of them.
    """

    exit_code = 2

    def __init__(self, problem: str, *, field: str = "") -> None:
        super().__init__(problem)
        self.field = field

    def __str__(self) -> str:
        problem = super().__str__()
        return f"`{self.field}`: {problem}" if self.field else problem


class SourceError(OptionsError):
    """The source is missing, empty, unreadable or malformed."""


class DestinationTakenError(PackerError):
    """Another plan, or a finished data set, is at the destination."""


class ClaimLostError(DestinationTakenError):
    """Another run has taken the destination over from this one, which then writes nothing more there."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri

    def __str__(self) -> str:
        return (
            f"{self.uri}: another run took it over meanwhile, and it is that run's now; this one has stopped, and "
            f"leaves it alone: pack to another DEST if you want this one, too"
        )


class CorruptRecordError(PackerError):
    """A record or index entry whose bytes contradict its framing.

    Attributes:
        name: file or URI that holds the record.
        record_index: position of the record in the file, from 0.
        offset_bytes: where the record starts in the file, from 0.
        problem: what was found against what was expected.
    """

    def __init__(self, name: str, record_index: int, offset_bytes: int, problem: str) -> None:
        super().__init__(name, record_index, offset_bytes, problem)
        self.name = name
        self.record_index = record_index
        self.offset_bytes = offset_bytes
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.name}: record {self.record_index} at byte {self.offset_bytes:,}: {self.problem}"


class DataSetError(PackerError):
    """A data set that is incomplete, edited or damaged."""


class NotADataSetError(DataSetError):
    """A folder or prefix that holds no finished data set."""

    exit_code = 2


class NewerVersionError(DataSetError):
    """A document that a newer release wrote, with something in it that this one would not understand."""


class SourceChangedError(PackerError):
    """An item's bytes are no longer those that the plan was made from."""


class EncoderMismatchError(PackerError):
    """A worker's image libraries encode differently from those that made the plan."""


class TooManyRejectsError(PackerError):
    """More items were rejected than `max_rejects` allows."""


class WorkerError(PackerError):
    """A worker process died, or a task raised an error that nobody foresaw."""


class TaskStalledError(WorkerError):
    """A task made no progress for so long that whatever it waits for will not come."""


class JobError(PackerError):
    """A service of AWS refused a job or a question about it, or a job that it took failed."""


class StoreError(PackerError, OSError):
    """A bucket, or another place, failed for good: it is not there, or stayed busy or broken for minutes."""


class StoreAccessError(StoreError, PermissionError):
    """A place refused a request: no, wrong or expired credentials, or no permission."""


class MissingExtraError(PackerError):
    """An optional library is not installed; the text names the pip command."""

    exit_code = 2
