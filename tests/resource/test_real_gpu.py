"""GPUs as they are: readings beside nvidia-smi's, while a real one works."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import Any

import pytest

import mlobs
from mlobs import UnreadableError
from mlobs.columns import read
from mlobs.otel.points import Numbers
from mlobs.resource.gpu import Gpus
from mlobs.resource.growth import Growth
from mlobs.testing import Telemetry

MIB = 2**20


@pytest.fixture
def gpus() -> Gpus:
    if shutil.which("nvidia-smi") is None:
        pytest.skip("needs an NVIDIA GPU")
    found = Gpus(Growth())
    found.prepare()
    if not list(found.collect()):
        pytest.skip("needs an NVIDIA GPU and nvidia-ml-py")
    return found


@pytest.fixture
def torch() -> Any:
    module = pytest.importorskip("torch")
    if not module.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    return module


def readings(gpus: Gpus) -> dict[tuple[str, ...], float]:
    found = {}
    for one in gpus.collect():
        assert isinstance(one, Numbers)
        for each, value in zip(one.each, one.values, strict=True):
            found[(one.instrument.name, *(text for _, text in each.items()))] = value
    return found


def smi(*what: str) -> list[float]:
    asked = ["nvidia-smi", "-i", "0", f"--query-gpu={','.join(what)}", "--format=csv,noheader,nounits"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    return [float(text) for text in answer.splitlines()[0].split(",")]


def test_readings_are_those_of_nvidia_smi(gpus: Gpus) -> None:
    """Memory, power and temperature of a GPU are what the driver's own tool says, in the conventions' units."""
    found = readings(gpus)
    total, used, power, temperature = smi("memory.total", "memory.used", "power.draw", "temperature.gpu")
    assert found["hw.gpu.memory.limit",] == total * MIB
    assert found["hw.gpu.memory.usage",] == pytest.approx(used * MIB, abs=1024 * MIB)
    assert found["hw.power",] == pytest.approx(power, rel=0.5)
    assert found["hw.temperature",] == pytest.approx(temperature, abs=10)
    assert 0 <= found["hw.gpu.utilization", "general"] <= 1


def test_work_shows(gpus: Gpus, torch: Any) -> None:
    """While the GPU multiplies, it is busy, draws energy, and holds this process' memory; how long is told per call."""
    before = readings(gpus)
    block = torch.ones(64 * MIB // 4, device="cuda")
    factor = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    busy, until = 0.0, time.monotonic() + 4
    while time.monotonic() < until:
        for _ in range(20):
            factor @ factor
        busy = max(busy, readings(gpus)["hw.gpu.utilization", "general"])
        torch.cuda.synchronize()
    after = readings(gpus)
    assert busy > 0.5
    assert after["hw.energy",] - before["hw.energy",] > 100  # joules: 4 s at more than 25 W
    assert after["hw.gpu.memory.usage",] - before["hw.gpu.memory.usage",] >= 64 * MIB
    assert block.is_cuda


def test_tensors_on_a_gpu_are_never_waited_for(gpus: Gpus, torch: Any, telemetry: Telemetry) -> None:
    """A model on a GPU answers as before: its calls are counted, its far tensors are not copied, and the reason is told."""
    network = torch.nn.Linear(30, 2).cuda()
    predict = mlobs.observe(model="far")(network)
    rows = torch.ones(4, 30, device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        network(rows)  # CUDA loads a kernel when it is first used, and waits for that
        torch.cuda.synchronize()
        torch.cuda._sleep(2_000_000_000)  # cycles, about a second: whoever reads the answer waits for it
        start = time.monotonic()
        answer = predict(rows)
        waited = time.monotonic() - start
    assert waited < 0.5
    assert answer.is_cuda
    torch.cuda.synchronize()
    with pytest.raises(UnreadableError, match="on cuda"):
        read(rows)
    assert telemetry.total("mlobs.prediction.duration", model_name="far") == 1
    assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") > 0


def test_gpu_time_of_events(torch: Any, telemetry: Telemetry) -> None:
    """What CUDA's own events measure is counted for the call that was running."""

    @mlobs.observe(model="timed")
    def predict(rows: Any) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        torch.cuda._sleep(200_000_000)
        end.record()
        end.synchronize()
        spent = float(begin.elapsed_time(end)) / 1e3
        mlobs.gpu_time(spent)
        return spent

    spent = [predict([1.0]) for _ in range(3)]
    assert telemetry.total("mlobs.prediction.gpu.time", model_name="timed") == pytest.approx(sum(spent))
    assert sum(spent) > 0.1
