"""`icgd judge` and `icgd check --weights`: exit codes, JSON, and every command of docs/judging.md."""

import hashlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from icgd import cli
from tests.closed_schemas import as_documented
from tests.numpy_layers import layers_by_hand

PAGE = (Path(__file__).parents[2] / "docs" / "judging.md").read_text(encoding="utf-8")
QUICK = ["--samples", "200", "--effort", "0.1"]


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.slow
def test_the_commands_and_the_python_of_the_page_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^    icgd (.*?)(?: +# (.*))?$", PAGE, flags=re.MULTILINE)
    assert len(lines) >= 6
    for line, comment in lines:
        code, out, err = run(capsys, *shlex.split(line))
        told = re.search(r"exit code (\d)", comment)
        assert code == (int(told[1]) if told else cli.KEPT), (line, out, err)
        assert "--data" not in line or "64 of diabetes" in " ".join(out.split())
        if line.startswith(("judge", "check")) and line.endswith("ours.safetensors"):
            assert "proved by certificate" in out or "is its program, entry by entry" in out
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(block, {})
    assert "proved by certificate" in capsys.readouterr().out
    rows = re.findall(r"^\| `(judge/[\w-]+)`", PAGE, flags=re.MULTILINE)
    (tmp_path / "out").mkdir(exist_ok=True)
    code, out, _ = run(capsys, "judge", "ours.safetensors", *QUICK, "--json", "-")
    assert [one["claim"] for one in json.loads(out)["verdicts"]] == rows


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    tensors, metadata = layers_by_hand(N=1, K=1)
    path = tmp_path_factory.mktemp("by hand") / "model.safetensors"
    save_file(tensors, path, metadata)
    return path


def test_the_json_of_a_judged_file(capsys, tmp_path, by_hand):
    code, out, _ = run(capsys, "judge", str(by_hand), *QUICK, "--out", str(tmp_path), "--json", "-")
    found = as_documented("judge", out)
    assert code == cli.KEPT and list(tmp_path.iterdir()) == []
    for key in ("schema", "weights", "problem", "construction", "census", "step_error", "verdicts"):
        assert key in found
    assert {"versions", "seed", "seconds", "descent", "conclusion", "trusted"} <= set(found)
    error = found["step_error"]
    assert 0 < error["sampled"] <= error["attacked"] <= error["allowed"] and error["certified"] is None
    assert len(found["weights"]["sha256"]) == 64 and found["problem"]["N"] == 1


def test_everything_can_be_given_by_options(capsys, tmp_path, by_hand):
    with safe_open(by_hand, "np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    bare = tmp_path / "bare.safetensors"
    save_file(tensors, bare)
    slots = json.loads(metadata["stream"])
    stream = ",".join(f"{name}={start}:{stop}" for name, (start, stop) in slots.items())
    letters = [
        word for name, value in json.loads(metadata["problem"]).items() for word in (f"--{name}", str(value))
    ]
    options = ["--stream", stream, "--diagonal", ",".join(json.loads(metadata["diagonal"]))]
    options += ["--attention", "relu"]
    out = ["--out", str(tmp_path / "out")]
    code, said, _ = run(capsys, "judge", str(bare), *options, *letters, *QUICK, *out)
    assert code == cli.KEPT and "held" in said
    letters[letters.index("--eta") + 1] = "0.3"
    code, said, _ = run(capsys, "judge", str(bare), *options, *letters, *QUICK, *out)
    assert code == cli.FAILED
    replay = re.search(r"^replay: icgd (.*step-error\.json)$", said, flags=re.MULTILINE)[1]
    code, said, _ = run(capsys, *shlex.split(replay))
    assert code == cli.FAILED and "judge/step-error" in said


BAD = [
    (["--samples", "0"], "samples = 0"),
    (["--effort", "nan"], "effort = nan"),
    (["--device", "abacus"], "cpu, cuda"),
    (["--construction", "huge"], "the known ones are lean, paper, exact, softmax"),
    (["--stream", "x=0:2"], "there is no slot y"),
    (["--stream", "x"], "each slot is given once"),
    (["--attention", "odd"], "attention = odd"),
    (["--diagonal", "layer.77"], "diagonal = layer.77"),
    (["--kernel", "relu"], "kernel = relu: there is no such letter"),
    (["--replay", "missing.json"], "there is no such file"),
    (["--data", "missing.csv"], "missing.csv"),
    (["--data", "diabetes", "--inputs", "bmi,none"], "no column 'none'"),
]


@pytest.mark.parametrize(("options", "words"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_bad_options_get_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, by_hand, options, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "judge", str(by_hand), *options)
    assert (code, out) == (cli.BAD_INPUT, "")
    assert err.startswith("icgd: ") and err.count("\n") == 1 and words in err
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_is_not_opened(capsys, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.")
    code, _, err = run(capsys, "judge", str(path))
    assert code == cli.BAD_INPUT and "it is a pickle" in err and not (tmp_path / "hacked").exists()


@pytest.mark.slow
def test_a_certificate_is_held_against_a_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    letters = ["--N", "1", "--K", "1", "--d", "1", "--n", "2", "--eps", "0.3"]
    assert cli.main(["build", "softmax-icgd", *letters, "--out", "m.safetensors"]) == cli.KEPT
    assert cli.main(["judge", "m.safetensors", *QUICK]) == cli.KEPT
    check = ["check", "out/certificate-judge.json", *letters, "--weights", "m.safetensors", "--json", "-"]
    capsys.readouterr()
    code, out, _ = run(capsys, *check)
    assert code == cli.KEPT and as_documented("check", out)["weights"] == "the same program"
    of_it = ["--certificate", "out/certificate-judge.json", "--out", "m.safetensors"]
    assert cli.main(["build", "softmax-icgd", *letters, *of_it]) == cli.KEPT
    onto = ["--certificate", "out/certificate-judge.json", "--out", "out/../out/certificate-judge.json"]
    assert cli.main(["build", "softmax-icgd", *letters, *onto]) == cli.BAD_INPUT
    capsys.readouterr()
    with safe_open("m.safetensors", "np") as file:
        named = file.metadata()["certificate"]
    assert named == hashlib.sha256(Path("out/certificate-judge.json").read_bytes()).hexdigest()
    code, out, _ = run(capsys, *check)
    assert code == cli.KEPT and "another_certificate" not in json.loads(out)
    looser = json.loads(Path("out/certificate-judge.json").read_text(encoding="utf-8"))
    looser["certified"] *= 1 + 1e-9
    Path("looser.json").write_text(json.dumps(looser), encoding="utf-8")
    code, out, _ = run(capsys, check[0], "looser.json", *check[2:-2])
    assert code == cli.KEPT and f"its metadata name the certificate {named[:12]}, and this is" in out
    code, _, err = run(capsys, "build", "softmax-icgd", *letters, "--eta", "0.2", *of_it)
    assert code == cli.BAD_INPUT and "certificate = softmax: it is refused" in err
    code, out, err = run(capsys, "build", "looped", *of_it)
    assert code == cli.BAD_INPUT and "only lean, paper, softmax have certificates" in err
    assert out == "" and "certificate = softmax: it is about another transformer than this" in err
    for theorem, given, why in (
        ("softmax-icgd", ["--d", "2", "--n", "2"], "the slot x is 0:2, not 0:1 as in the program"),
        ("relu-icgd", letters, "the attention is relu, not softmax as in the certificate"),
        ("looped", [], "it holds layer.00.P, layer.00.Q, and no block"),
    ):
        assert cli.main(["build", theorem, *given, "--out", "other.safetensors"]) == cli.KEPT
        capsys.readouterr()
        code, out, err = run(capsys, *check[:-3], "other.safetensors")
        assert code == cli.FAILED and err == ""
        assert f"other.safetensors is another program: {why}" in out
    with safe_open("m.safetensors", "np") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    row, column = np.argwhere(tensors["layer.00.W1"])[0]
    broken = {name: tensor * np.nan if name == "layer.00.W2" else tensor for name, tensor in tensors.items()}
    save_file(broken, "broken.safetensors", metadata)
    assert run(capsys, *check[:-3], "broken.safetensors")[0] == cli.BAD_INPUT
    tensors["layer.00.W1"][row, column] *= 1.01
    save_file(tensors, "m.safetensors", metadata)
    code, out, _ = run(capsys, *check)
    assert code == cli.FAILED
    assert json.loads(out)["weights"].startswith(f"layer 0, W1 ({row}, {column}) is")


def test_a_certificate_of_somebodys_own_sums_is_held_against_their_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors, metadata = layers_by_hand(N=1, K=1, eps=0.3, room=1e-12)
    save_file(tensors, "m.safetensors", metadata)
    code, out, _ = run(capsys, "judge", "m.safetensors", *QUICK, "--json", "-")
    assert code == cli.KEPT and json.loads(out)["step_error"]["certified"] > 0
    letters = [
        word for name, value in json.loads(metadata["problem"]).items() for word in (f"--{name}", str(value))
    ]
    check = ["check", "out/certificate-judge.json", *letters, "--json", "-"]
    code, out, _ = run(capsys, *check, "--weights", "m.safetensors")
    found = json.loads(out)
    assert code == cli.KEPT and found["weights"] == "the same program" and found["accepted"]
    assert found["built_here"] != "the same program"  # icgd would have chosen other sums
    assert cli.main(check) == cli.FAILED
    tensors["layer.00.V"][0, 2:] *= 1.5
    save_file(tensors, "m.safetensors", metadata)
    code, out, _ = run(capsys, *check[:-2], "--weights", "m.safetensors")
    assert code == cli.FAILED and "is another program" in out
