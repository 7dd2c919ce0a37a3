import pytest

from packer.trainer.keras.tf_errors import describe_tf_error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{{function_node __wrapped__IteratorGetNext_output_types_3}} corrupted record at 160 [Op:IteratorGetNext]",
            "corrupted record at 160",
        ),
        (
            "Graph execution error:\n\nDetected at node x defined at\nHorovod has been shut down.",
            "Horovod has been shut down.",
        ),
        (
            "{{function_node f}} /d/a.tfrecord; No such file or directory [Op:IteratorGetNext] name: ",
            "/d/a.tfrecord; No such file or directory",
        ),
        (
            "DataSetError: a.rec: expected 5 records\nTraceback (most recent call last):",
            "DataSetError: a.rec: expected 5 records",
        ),
        ("", "ValueError"),
    ],
)
def test_describe_tf_error(text, said):
    assert describe_tf_error(ValueError(text)) == said
