"""PyTorch on an NVIDIA GPU under `mlobs.instrument()`: what a call took there is told, and nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.told import calls, rows

import mlobs
from mlobs.testing import Telemetry

torch: Any = pytest.importorskip("torch")
nn = torch.nn

if not torch.cuda.is_available():
    pytest.skip("needs an NVIDIA GPU", allow_module_level=True)

DEADLINE = 60.0  # seconds


class Net(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.cuda._sleep(20_000_000)  # cycles, about ten milliseconds
        return self.head(x)


@pytest.fixture(autouse=True)
def _hooked() -> Iterator[None]:
    mlobs.instrument("torch")
    yield
    torch.cuda.set_sync_debug_mode("default")
    mlobs.uninstrument()


@pytest.fixture
def net() -> Any:
    made = Net().cuda().eval()
    with torch.no_grad():
        made.forward(torch.ones(3, 64, device="cuda"))  # CUDA loads a kernel when it is first used, and waits for that
    torch.cuda.synchronize()
    return made


@pytest.fixture
def x() -> Any:
    return torch.ones(3, 64, device="cuda")


def gpu_time(telemetry: Telemetry) -> float:
    return telemetry.total("mlobs.prediction.gpu.time", model_name="Net")


def test_time_is_told_and_nobody_waits(net: Any, x: Any, telemetry: Telemetry) -> None:
    """The time between two events on the caller's stream, where torch raises for whoever synchronises; the answer stays."""
    expected = net.forward(x)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    started = time.monotonic()
    with torch.no_grad():
        answers = [net(x) for _ in range(20)]
    told = time.monotonic() - started
    end.record()
    torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    spent = begin.elapsed_time(end) / 1e3
    assert told < spent
    assert all(torch.equal(answer, expected) for answer in answers)
    assert calls(telemetry) == {("Net", "forward"): 20}
    assert rows(telemetry) == {("Net", "forward"): 60}
    assert gpu_time(telemetry) == pytest.approx(spent, rel=0.2)
    assert telemetry.total("mlobs.model.gpu.memory.peak", model_name="Net") >= torch.cuda.memory_allocated()


def test_what_is_not_finished_is_told_later(net: Any, x: Any, telemetry: Telemetry) -> None:
    """While the GPU works the time is not known, and asking for it does not wait; afterwards it is."""
    torch.cuda._sleep(2_000_000_000)  # about a second
    net(x)
    started = time.monotonic()
    before = gpu_time(telemetry)
    assert time.monotonic() - started < 0.5
    assert before == 0
    torch.cuda.synchronize()
    assert gpu_time(telemetry) > 0.001


def test_streams(net: Any, x: Any, telemetry: Telemetry) -> None:
    """The events are on the stream that the caller runs on: work of another stream is not in the time."""
    other = torch.cuda.Stream()
    with torch.cuda.stream(other):
        torch.cuda._sleep(2_000_000_000)
    with torch.cuda.stream(torch.cuda.Stream()):
        net(x)
    torch.cuda.synchronize()
    assert 0.001 < gpu_time(telemetry) < 0.2


def test_graphs_are_captured_undisturbed(net: Any, x: Any, telemetry: Telemetry) -> None:
    """A capture holds no event of ours, and one that runs while mlobs' own thread asks for earlier calls succeeds."""
    with torch.no_grad():
        net(x)
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                mlobs.flush()

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for _ in range(5):
                torch.cuda._sleep(200_000_000)
                net(x)  # its events wait while the graph is captured
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):  # in the mode that forbids other threads to ask
                    captured = net(x)
                graph.replay()
        finally:
            stop.set()
            asking.join(DEADLINE)
    torch.cuda.synchronize()
    assert torch.equal(captured, net.forward(x))
    assert calls(telemetry) == {("Net", "forward"): 11}
    assert gpu_time(telemetry) > 0


def test_events_are_used_again(net: Any, x: Any, telemetry: Telemetry) -> None:
    """A model that is called again and again keeps no more events than calls that wait at once, bounded."""
    import mlobs_torch

    for _ in range(5):
        for _ in range(3):
            net(x)
        torch.cuda.synchronize()
        gpu_time(telemetry)
    assert 0 < len(mlobs_torch._free[0]) <= 64
    assert len({id(pair) for pair in mlobs_torch._free[0]}) == len(mlobs_torch._free[0])


def test_errors_and_training(net: Any, x: Any, telemetry: Telemetry) -> None:
    """A call that fails says no time, and training neither."""
    with pytest.raises(RuntimeError):
        net(x[:, :3])
    with pytest.raises(RuntimeError, match="device"):
        net(x.cpu())
    net.train()(x)
    torch.cuda.synchronize()
    assert gpu_time(telemetry) == 0


def test_compiled(net: Any, x: Any, telemetry: Telemetry) -> None:
    """A compiled model's time is told, with CUDA graphs of torch's own making, too."""
    layer = torch.compile(nn.Sequential(nn.Linear(64, 64), nn.ReLU()).cuda().eval(), mode="reduce-overhead")
    mlobs.register(layer, name="Net")
    with torch.no_grad():
        for _ in range(5):
            torch.compiler.cudagraph_mark_step_begin()
            layer(x)
    torch.cuda.synchronize()
    assert calls(telemetry) == {("Net", "forward"): 5}
    assert gpu_time(telemetry) > 0
