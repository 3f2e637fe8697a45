"""The tables about accelerators, on the CPU and small; a row that fails says so and stops no other."""

import pytest
import torch

from icgd.construct import looped
from icgd.verify import accelerator
from icgd.verify.accelerator import AcceleratorRun, main


def rows_of(printed):
    return [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]


def test_every_speed_is_measured(capsys):
    words = ["--device", "cpu", "--small", "--no-compile", "--date", "1 January", "--only", "step_times"]
    main(words)
    first, *_ = (printed := capsys.readouterr().out).splitlines()
    assert first.startswith("CPU with") and first.endswith("1 January")
    heading, _, *rows = rows_of(printed)
    assert [row[:3] for row in rows] == [["64", kind, "as shipped"] for kind in ("float64", "float32")]
    for row in rows:
        named = dict(zip(heading, row, strict=True))
        assert float(named["ratio"]) > 0 and float(named["norm2(err)/eta"]) <= 0.05


def test_what_differs_is_seen_and_what_fails_is_said(monkeypatch):
    """The device is a CPU here, so nothing differs, except where we make it so."""
    few = [one for one in accelerator.built_transformers() if one[0].startswith(("looped", "preconditioned"))]
    _, build, outputs = few[0]

    def wrong(made, device, dtype):
        return outputs(made, device, dtype) * (1 + (dtype == torch.float32))

    broken = ("broken", lambda: looped.build(None), outputs)  # a refusal, in one sentence
    monkeypatch.setattr(accelerator, "built_transformers", lambda: [*few, ("wrong", build, wrong), broken])
    found = {row[0]: row[1:] for row in accelerator.same_numbers(AcceleratorRun(torch.device("cpu")))}
    assert len(found) == len(few) + 2
    for one in few:
        double, across, single, finite = found[one[0]]
        assert double == across == "0" and 0 < float(single) < 1e3 and finite == "yes"
    assert float(found["wrong"][2]) > 1e6
    assert found["broken"][0].startswith("ProblemError: problem = None") and len(found["broken"]) == 4
    late = AcceleratorRun(torch.device("cpu"), seconds=-1.0)
    assert {row[1] for row in accelerator.same_numbers(late)} == {"left out: no time left"}


def test_a_device_that_is_not_there_is_refused():
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device = cuda"):
            main([])
