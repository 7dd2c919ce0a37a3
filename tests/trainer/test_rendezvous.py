import pytest

from packer.channels.jobfiles import InstanceGroup, ResourceConfig, hosts_of_ranks
from packer.errors import OptionsError
from packer.trainer.core.world import Launcher, World
from packer.trainer.torch.rendezvous import find_meeting

ONE_HOST = World(rank=1, local_rank=1, size=4, local_size=4, launcher=Launcher.OPEN_MPI)
TWO_HOSTS = World(rank=1, local_rank=1, size=4, local_size=2, launcher=Launcher.OPEN_MPI)


def test_ranks_of_one_host_meet_there():
    meeting = find_meeting(ONE_HOST, {"PMIX_NAMESPACE": "123"}, ())
    assert meeting.host == "127.0.0.1"
    assert 20_000 <= meeting.port < 32_000
    assert find_meeting(ONE_HOST, {"PMIX_NAMESPACE": "124"}, ()) != meeting, "two jobs on one host"


def test_what_is_said_is_taken():
    said = {"MASTER_ADDR": "node-7", "MASTER_PORT": "4000"}
    assert find_meeting(TWO_HOSTS, said, ("algo-1", "algo-2")).url == "tcp://node-7:4000"


def test_a_job_of_sagemaker_meets_on_its_first_host():
    assert find_meeting(TWO_HOSTS, {}, ("algo-1", "algo-2")).host == "algo-1"


def test_several_hosts_of_which_nothing_is_known_are_refused():
    with pytest.raises(OptionsError, match=r"MASTER_ADDR: expected .* \(-x MASTER_ADDR=HOST with a free MASTER_PORT\)"):
        find_meeting(TWO_HOSTS, {}, ())


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1"])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(OptionsError, match="MASTER_PORT: expected a port"):
        find_meeting(ONE_HOST, {"MASTER_PORT": port}, ())


def test_rank_0_is_on_the_first_host_of_the_group_that_trains():
    """The toolkit gives mpirun the hosts as their group lists them, unlike `hosts` in no order."""
    resources = ResourceConfig(
        current_host="algo-1",
        hosts=("algo-1", "algo-2", "algo-3"),
        current_group_name="gpu",
        instance_groups=(
            InstanceGroup(instance_group_name="cpu", instance_type="", hosts=("algo-1",)),
            InstanceGroup(instance_group_name="gpu", instance_type="", hosts=("algo-3", "algo-2")),
        ),
    )
    named = {"sagemaker_distribution_instance_groups": ["gpu"]}
    assert hosts_of_ranks(resources, named) == ("algo-3", "algo-2")
    assert hosts_of_ranks(resources, {}) == ("algo-3", "algo-2")
    assert hosts_of_ranks(ResourceConfig(current_host="algo-1", hosts=("algo-1", "algo-2")), {}) == ("algo-1", "algo-2")
