import contextlib

from packer.trainer.core.step_trace import StepTrace


def make_trace(folder, num_steps):
    happened = []

    @contextlib.contextmanager
    def tracing(opened):
        happened.append(f"begin {opened}")
        yield
        happened.append("end")

    return StepTrace(tracing, folder, num_steps), happened


def test_a_profile_ends_after_its_steps(tmp_path):
    folder = str(tmp_path / "new" / "trace")
    trace, happened = make_trace(folder, 2)
    trace.start()
    trace.step()
    assert happened == [f"begin {folder}"]
    trace.step()
    assert happened == [f"begin {folder}", "end"]
    trace.step()
    trace.close()
    assert happened == [f"begin {folder}", "end"]
    assert (tmp_path / "new" / "trace").is_dir()


def test_a_short_run_is_profiled_as_far_as_it_goes(tmp_path):
    trace, happened = make_trace(str(tmp_path), 5)
    trace.start()
    trace.step()
    trace.close()
    assert happened[-1] == "end"


def test_nobody_asked_for_one():
    trace, happened = make_trace("", 2)
    trace.start()
    trace.step()
    trace.step()
    trace.close()
    assert happened == []
