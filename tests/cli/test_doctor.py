import dataclasses
import io
import json
import math
import shutil

import pytest
import torch
from rich.console import Console

from nn2llm.cli import doctor
from nn2llm.cli.doctor import Report, compute_trainable_parameters, find_problems, main
from nn2llm.core.device import Comparison
from nn2llm.core.errors import DeviceError
from nn2llm.core.machine import Accelerator, Machine, Memory

MACHINE = Machine(
    system="Linux 6.1 (x86_64)",
    processor="A Processor",
    num_cores=2,
    num_cores_installed=8,
    memory=Memory(total_bytes=25 * 10**9, available_bytes=20 * 10**9),
    accelerators=(),
    disk_free_bytes=80 * 10**9,
    versions={"python": "3.11.7", "nn2llm": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6"},
)
REPORT = Report(
    machine=MACHINE,
    device="cpu",
    comparisons=(Comparison(name="forward", max_relative_error=3e-7, tolerance=1e-4),),
    fp32_flops_per_s=50e9,
    bf16_flops_per_s=100e9,
    other_load=0.1,
)
WRONG = dataclasses.replace(
    REPORT,
    device="mps",
    comparisons=(
        *REPORT.comparisons,
        Comparison(name="attention", max_relative_error=math.inf, tolerance=1e-4),
    ),
)


@pytest.fixture(autouse=True)
def no_nvidia(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


def use(monkeypatch: pytest.MonkeyPatch, report: Report) -> None:
    monkeypatch.setattr(doctor, "build_report", lambda device: report)


def render(report: Report, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    doctor._print_report(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_size_of_a_model_by_hand():
    # C = 1.2e10 FLOP/s × 100 s = 1.2e12 = 6·N·20·N, so N² = 1e10
    assert compute_trainable_parameters(1.2e10, 100) == pytest.approx(1e5)


def test_a_sound_machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    use(monkeypatch, REPORT)
    assert main([]) == 0
    output = capsys.readouterr().out
    assert "2 of its 8 cores may be used" in output
    assert "relative error 3.0e-07, allowed 1e-04" in output
    assert "100 GFLOP/s  (2.0 times fp32)" in output
    # 35% of fp32's 50 GFLOP/s for a minute: N = √(1.05e12 / 120) = 93.5 thousand, on 20 times as many tokens
    assert "93.5k parameters, on 1.87M tokens" in output
    assert "Hoffmann et al. 2022" in " ".join(output.split())
    assert "Nothing to mend" in output


def test_a_device_that_computes_wrongly_fails_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    use(monkeypatch, WRONG)
    assert main([]) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "WRONG relative error inf" in output
    assert "mps computes wrongly (attention)" in output
    assert "--device cpu" in output


@pytest.mark.parametrize(("report", "code"), [(REPORT, 0), (WRONG, 1)])
def test_json_is_one_object_and_has_the_same_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], report: Report, code: int
):
    use(monkeypatch, report)
    assert main(["--json"]) == code
    answer = json.loads(
        capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON")
    )
    assert answer["computes_rightly"] is (code == 0)
    assert answer["machine"]["memory"]["total_bytes"] == 25 * 10**9
    # √(0.35 · F · 60 / 120): fp32's F = 50 GFLOP/s on the CPU of the one, bf16's 100 on the GPU of the other
    assert answer["trainable_parameters"]["a minute"] == (93541 if code == 0 else 132288)
    assert [one["passed"] for one in answer["comparisons"]] == [True, False][: len(report.comparisons)]
    assert len(answer["problems"]) == code


def machine(**changes: object) -> Report:
    return dataclasses.replace(REPORT, machine=dataclasses.replace(MACHINE, **changes))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (machine(versions={**MACHINE.versions, "tokenizers": "missing"}), "Not installed: tokenizers"),
        (machine(versions={**MACHINE.versions, "torch": "2.4.1"}), "torch 2.4.1 is older than 2.11"),
        (machine(memory=Memory(total_bytes=4 * 10**9, available_bytes=10**9)), "Only 1.0 GB of memory"),
        (machine(disk_free_bytes=3 * 10**8), "Only 0.3 GB of disk"),
        (dataclasses.replace(REPORT, other_load=3.5), "Other programs have work for 3.5 cores"),
    ],
)
def test_each_problem_comes_with_a_remedy(report: Report, words: str):
    (problem,) = find_problems(report)
    assert words in problem


def test_a_gpu_that_torch_cannot_see_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    (problem,) = find_problems(REPORT)
    assert "NVIDIA driver, but torch 2.13.0+cpu finds no GPU" in problem
    seen = machine(accelerators=(Accelerator(device="cuda:0", name="H200", memory_bytes=10**11),))
    assert find_problems(seen) == []


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_report_fits_the_terminal(width: int):
    gpus = tuple(
        Accelerator(device=f"cuda:{i}", name="NVIDIA H200", memory_bytes=141 * 10**9) for i in (0, 1)
    )
    text = render(dataclasses.replace(machine(accelerators=gpus), other_load=9.0), width)
    assert max(map(len, text.splitlines())) <= width
    assert "cuda:0: NVIDIA H200, 141.0 GB" in text
    assert "cuda:1: NVIDIA H200, 141.0 GB" in text


def test_a_device_without_bfloat16_says_so():
    text = render(dataclasses.replace(REPORT, bf16_flops_per_s=0.0), 80)
    assert "not supported" in text


def test_an_absent_device_is_refused():
    with pytest.raises(DeviceError, match="'cuda:99' is not available"):
        main(["--device", "cuda:99"])


def test_this_machine_is_examined(monkeypatch: pytest.MonkeyPatch):
    from nn2llm.core import device

    threads = torch.get_num_threads()
    monkeypatch.setattr(device, "choose_num_threads", lambda: threads)  # what other tests run with
    speeds = iter([2e9, 3e9])
    monkeypatch.setattr(device, "measure_matmul_speed", lambda where, dtype: next(speeds))
    report = doctor.build_report("cpu")
    assert report.computes_rightly
    assert (report.fp32_flops_per_s, report.bf16_flops_per_s, report.flops_per_s) == (
        2e9,
        3e9,
        2e9,
    )  # fp32 on a CPU
