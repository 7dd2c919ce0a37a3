import pytest

from packer.errors import DataSetError, OptionsError
from packer.reading.source import Share
from packer.trainer.core.agreement import RankReport, check_agreement


def report(rank, digest="aaaa", steps="14", **fields):
    facts = (("the data set", digest), ("the steps of an epoch", steps))
    return RankReport(rank=rank, host=f"algo-{rank + 1}", facts=facts, **fields)


def test_ranks_that_say_the_same_may_start():
    check_agreement([report(0), report(1), report(2)])


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"digest": "bbbb"}, r"disagree on the data set: aaaa on rank 0 \(algo-1\), rank 2 \(algo-3\); bbbb on rank 1"),
        ({"steps": "15"}, r"disagree on the steps of an epoch: 14 on rank 0 .*; 15 on rank 1 \(algo-2\)"),
        ({"digest": "bbbb", "steps": "15"}, "disagree on the data set"),
    ],
)
def test_a_differing_fact_is_named_with_its_values_and_ranks(others, message):
    with pytest.raises(DataSetError, match=message):
        check_agreement([report(0), report(1, **others), report(2)])


def test_many_ranks_are_counted_rather_than_listed():
    with pytest.raises(DataSetError, match=r"rank 3 \(algo-4\) and 96 more; bbbb on rank 100"):
        check_agreement([*map(report, range(100)), report(100, digest="bbbb")])


@pytest.mark.parametrize(("exit_code", "kind"), [(1, DataSetError), (2, OptionsError)])
def test_a_rank_that_cannot_start_stops_all_with_its_reason_and_exit_code(exit_code, kind):
    broken = RankReport(rank=1, host="algo-2", error="/x: no manifest", exit_code=exit_code)
    with pytest.raises(kind, match=r"rank 1 \(algo-2\) cannot start: /x: no manifest") as caught:
        check_agreement([report(0), broken])
    assert caught.value.exit_code == exit_code


def fed(rank, own_shards, *, host=""):
    share = Share(
        split="train", delivery="File", num_shards=4, host=host or f"algo-{rank // 2 + 1}", own_shards=own_shards
    )
    return RankReport(rank=rank, host=share.host, shares=(share,))


@pytest.mark.parametrize("shares", [[(0, 1), (2, 3)], [(0, 3), (1, 2)], [(), ()], [(0, 1, 2, 3)]])
def test_hosts_may_have_any_disjoint_and_complete_shares(shares):
    check_agreement([fed(2 * host + local_rank, own) for host, own in enumerate(shares) for local_rank in (0, 1)])


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([(0, 1), (1, 2)], "but shard 1 of 4 is on algo-1 and algo-2. Nothing was trained"),
        ([(0, 1), (2,)], "but shard 3 of 4 is on no host. Nothing was trained"),
    ],
)
def test_hosts_whose_shares_overlap_or_leave_something_out_do_not_start(shares, message):
    with pytest.raises(DataSetError, match=rf"split 'train': expected each host to have its own .*, {message}"):
        check_agreement([fed(2 * host + local_rank, own) for host, own in enumerate(shares) for local_rank in (0, 1)])


def test_ranks_of_a_host_must_see_the_same_folder():
    with pytest.raises(DataSetError, match="but the ranks on algo-1 see different ones"):
        check_agreement([fed(0, (0, 1)), fed(1, (0, 2)), fed(2, (2, 3))])
