"""What the PyTorch integration does beside a GPU, where there is none: CUDA's part is played, its driver is not.

`test_torch_gpu.py` is the same on a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.told import calls

import mlobs
from mlobs.api import runtime
from mlobs.testing import Telemetry

torch: Any = pytest.importorskip("torch")
mlobs_torch: Any = pytest.importorskip("mlobs_torch")
nn = torch.nn

WORK = 10.0  # milliseconds that a call takes the device
PEAK = 2**20


class Stream:
    """Work in milliseconds: what was given to it, and how much of that is done."""

    def __init__(self) -> None:
        self.given = 0.0
        self.done = 0.0


class Event:
    """Stands in a stream, behind what that was given before."""

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.stream: Stream
        self.place = -1.0

    def record(self, stream: Stream) -> None:
        self.stream, self.place = stream, stream.given

    def query(self) -> bool:
        return self.stream.done >= self.place

    def elapsed_time(self, end: Event) -> float:
        return end.place - self.place

    def synchronize(self) -> None:
        raise AssertionError("somebody waits")


class Cuda:
    """What of `torch.cuda` is used, and nothing else: whoever asks for more fails."""

    Event = Event

    def __init__(self) -> None:
        self._initialized = True
        self.stream = Stream()
        self.capturing = False
        self.current: list[int] = []
        self.looked = 0

    def is_initialized(self) -> bool:
        return self._initialized

    def is_current_stream_capturing(self) -> bool:
        assert self.current
        return self.capturing

    def current_stream(self) -> Stream:
        assert self.current
        return self.stream

    def device(self, index: int) -> Any:
        played = self

        class Device:
            def __enter__(self) -> None:
                played.current.append(index)

            def __exit__(self, *_: object) -> None:
                played.current.pop()

        return Device()

    def max_memory_allocated(self, index: int) -> int:
        assert index == 1
        self.looked += 1
        return PEAK


class Rows:
    """Stands for a tensor on the second GPU."""

    is_cuda = True
    device = torch.device("cuda", 1)


class Net(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, cuda: Cuda) -> None:
        super().__init__()
        self.cuda_ = cuda

    def forward(self, x: Any) -> str:
        if x is None:
            raise ValueError("no rows")
        self.cuda_.stream.given += WORK
        return "answered"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    played = Cuda()
    modes: list[object] = []

    def exchange(mode: object) -> int:
        modes.append(mode)
        return 0

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch, "cuda", played)
    monkeypatch.setattr(mlobs_torch, "_exchange", lambda: exchange)
    monkeypatch.setattr(mlobs_torch, "_free", {})
    monkeypatch.setattr(mlobs_torch, "_looked", {})
    mlobs.instrument("torch")
    yield played
    mlobs.uninstrument()
    assert not played.current
    assert len(modes) % 2 == 0  # what was exchanged was put back


@pytest.fixture
def net(cuda: Cuda) -> Any:
    return Net(cuda).eval()


def gpu_time(telemetry: Telemetry) -> float:
    return telemetry.total("mlobs.prediction.gpu.time", model_name="Net")


def test_time_is_told_when_the_device_is_done(net: Any, cuda: Cuda, telemetry: Telemetry) -> None:
    """Nothing while it works, each call's own time afterwards; the peak of the device's memory, looked at once a second."""
    assert [net(Rows()) for _ in range(3)] == ["answered"] * 3
    assert gpu_time(telemetry) == 0
    cuda.stream.done = WORK
    assert gpu_time(telemetry) == pytest.approx(0.01)
    cuda.stream.done = cuda.stream.given
    assert gpu_time(telemetry) == pytest.approx(0.03)
    assert calls(telemetry) == {("Net", "forward"): 3}
    assert telemetry.total("mlobs.model.gpu.memory.peak", model_name="Net") == PEAK
    assert cuda.looked == 1


def test_events_are_used_again(net: Any, cuda: Cuda, telemetry: Telemetry) -> None:
    """As many pairs as calls wait at once, and never more than are kept."""
    for _ in range(5):
        for _ in range(3):
            net(Rows())
        cuda.stream.done = cuda.stream.given
        gpu_time(telemetry)
    assert len({id(pair) for pair in mlobs_torch._free[1]}) == 3
    for _ in range(100):
        net(Rows())
    cuda.stream.done = cuda.stream.given
    assert gpu_time(telemetry) == pytest.approx(1.15)
    assert len(mlobs_torch._free[1]) == 64


def test_no_event_is_in_a_capture(net: Any, cuda: Cuda, telemetry: Telemetry) -> None:
    """Neither before the call nor, where the capture begins inside, after it."""
    cuda.capturing = True
    net(Rows())
    cuda.capturing = False

    class Capturing(Net):
        def forward(self, x: Any) -> str:
            cuda.capturing = True
            return super().forward(x)

    Capturing(cuda).eval()(Rows())
    cuda.stream.done = cuda.stream.given
    assert telemetry.total("mlobs.prediction.gpu.time") == 0
    assert sum(calls(telemetry).values()) == 2


def test_what_is_not_on_the_device(net: Any, cuda: Cuda, telemetry: Telemetry) -> None:
    """A model in the CPU's memory, one in training, a call that fails, and a program that has not begun with its GPU."""
    net(torch.ones(3, 2))
    net.train()(Rows())
    with pytest.raises(ValueError, match="no rows"):
        net.eval()(None)
    cuda._initialized = False
    net(Rows())
    assert gpu_time(telemetry) == 0
    assert mlobs_torch._free == {}


def test_the_models_own_device(cuda: Cuda, telemetry: Telemetry) -> None:
    """Where no argument lies on a GPU, that of the model's parameters is the one."""

    class Held(Net):
        def parameters(self, recurse: bool = True) -> Any:
            del recurse
            return iter([Rows()])

    Held(cuda).eval()("prompt")
    cuda.stream.done = cuda.stream.given
    assert telemetry.total("mlobs.prediction.gpu.time", model_name="Held") == pytest.approx(0.01)


def test_a_device_that_is_gone(net: Any, cuda: Cuda, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are answered; what asking raises is counted as an error of mlobs' own."""

    def lost(self: Event) -> bool:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(Event, "query", lost)
    monkeypatch.setattr(runtime.guard, "strict", False)
    assert net(Rows()) == "answered"
    assert gpu_time(telemetry) == 0
    assert telemetry.total("mlobs.sdk.errors", reason="gpu") == 1


def test_too_many_wait(net: Any, telemetry: Telemetry) -> None:
    """A device that never answers does not fill the memory: the latest are left out, and counted."""
    for _ in range(4100):
        net(Rows())
    gpu_time(telemetry)
    assert telemetry.total("mlobs.sdk.dropped", reason="gpu_pending") == 4
