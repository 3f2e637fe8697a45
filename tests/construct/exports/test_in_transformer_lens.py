"""TransformerLens itself, without icgd, loads the folders in an environment that `make lens` builds."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import torch

from icgd import cli
from icgd.construct.exports.formats import export_weights
from icgd.construct.exports.read_weights import read_weights

pytestmark = pytest.mark.lens

ROOT = Path(__file__).parents[3]
LENS = ROOT / "build" / "lens"
PAGE = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
CASES = ("lean", "paper", "softmax", "preconditioned", "others", "looped")
STRANGER = """
import importlib.util, sys, torch, transformer_lens
assert importlib.util.find_spec("icgd") is None
posed, outcomes = torch.load(sys.argv[1]), {}
for name, (folder, parts, loops) in posed.items():
    sys.path[0] = folder
    sys.modules.pop("lens_model", None)
    from lens_model import LensFolder
    lens = LensFolder(folder)
    model = lens.load()
    assert type(model) is transformer_lens.TransformerBridge
    H = lens.stream(*parts)
    for _ in range(loops):
        logits, cache = model.run_with_cache(H)
        streams = [H, *(cache[f"blocks.{layer}.hook_resid_post"] for layer in range(model.cfg.n_layers))]
        H = streams[-1]
    without = model.run_with_hooks(
        lens.stream(*parts),
        fwd_hooks=[(lambda name: name.endswith("hook_pattern"), lambda pattern, hook: 0 * pattern)],
    )
    outcomes[name] = streams, logits, without
torch.save(outcomes, sys.argv[2])
"""


def run_in_lens(*words, folder, path=""):
    if not LENS.exists():
        pytest.skip("make lens builds the environment")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PY")}
    env |= {"PYTHONPATH": str(path)} if path else {}
    command = [str(LENS / "bin" / "python"), *map(str, words)]
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def test_transformer_lens_agrees_with_the_literal_reading(exported_cases, tmp_path):
    posed = {}
    for name in CASES:
        case = exported_cases[name]
        x, y, query, *w = case["parts"]
        export_weights(read_weights(case["file"]), "transformer-lens", tmp_path / name)
        parts = [x, y if w else y[..., None], query, *w]
        posed[name] = str(tmp_path / name), parts, 3 if name == "looped" else 1
    torch.save(posed, tmp_path / "posed.pt")
    run_in_lens("-c", STRANGER, tmp_path / "posed.pt", tmp_path / "found.pt", folder=tmp_path)
    found = torch.load(tmp_path / "found.pt")
    assert set(found) == set(CASES)
    for name, (streams, logits, without) in found.items():
        case = exported_cases[name]
        if len(case["parts"]) == 4:
            block = read_weights(case["file"]).block()
            assert (logits - case["out"][..., block.stream.w]).abs().max() <= 1e-12, name
            H = case["into"]
            for layer, stream in zip(block.layers, streams[1:], strict=True):
                H = layer(H)
                assert (stream - H).abs().max() <= 1e-12, name
            # Without any attention w stays, but for what MLPs do to it.
            assert (without - logits).abs().max() > 1e-3, name
        else:
            assert (logits[:, -1, 0] - case["out"]).abs().max() <= 1e-12, name
            assert not without[:, -1].any(), name


def test_the_python_of_the_page_runs_in_both_ages_of_transformer_lens(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line in re.findall(r"^    icgd (zoo softmax-1 .*?)(?: +# .*)?$", PAGE, flags=re.MULTILINE):
        assert cli.main(line.split()) == cli.KEPT, capsys.readouterr().err
    now, before = (
        next(code for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if name in code)
        for name in ("LensFolder", "HookedTransformerConfig")
    )
    folder = tmp_path / "softmax-1" / "transformer_lens"
    show = "\nprint(w_after[0].tolist())\n"
    now = now.replace("\nx, y", "\ntorch.manual_seed(0)\nx, y")
    first = run_in_lens("-c", now + show, folder=folder)
    earlier = now[: now.index("model =")] + now[now.index("torch.manual_seed") : now.index("logits")] + before
    second = run_in_lens("-W", "ignore", "-c", earlier + show, folder=folder, path=LENS / "before-4")
    assert first.count(",") == 3 and eval(first.splitlines()[-1]) == pytest.approx(
        eval(second.splitlines()[-1]), abs=1e-12
    )
