"""Files and options as people bring them: for each what happens, and why that is right."""

import json
import os
import shlex

import pytest
from safetensors.numpy import save_file

from icgd import Problem, cli
from icgd.construct.machine import memory
from icgd.verify.certificate.issue import certificate_text
from icgd.verify.certificate.proof import certified
from icgd.verify.search.counterexample import Counterexample
from icgd.verify.search.prompts import random_prompts, seeded
from tests.numpy_layers import layers_by_hand

SMALL = Problem(N=1, K=1, d=1, n=2, L=1, eps=0.5)
LETTERS = shlex.join(shlex.split(SMALL.options))
HELD, FAILED, BAD = cli.KEPT, cli.FAILED, cli.BAD_INPUT
ESC = "\x1b[31m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Honest files, and the same with one thing wrong in each."""
    home = tmp_path_factory.mktemp("files")
    prompt = random_prompts(SMALL, 1, seeded(0))
    honest = Counterexample(SMALL, "lean", "relu-icgd/lean/step-error", prompt, 0.1, 0.05)
    replay, proof = json.loads(honest.text), certified(SMALL, "lean")

    def write(name, value):
        text = value if isinstance(value, str | bytes) else json.dumps(value)
        (home / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    letters, rows = replay["problem"], replay["prompt"]
    for name, value in {
        "honest": replay,
        "tight": replay | {"allowed": 1e-12},
        "loose": replay | {"allowed": "nan"},
        "softmax": replay | {"construction": "softmax"},
        "number": replay | {"claim": 5},
        "sizes": replay | {"claim": "relu-icgd/lean/heads"},
        "elsewhere": replay | {"claim": "looped/lean/step-error"},
        "coloured": replay | {"claim": f"{ESC}relu-icgd/lean/step-error"},
        "unknown": replay | {"problem": letters | {f"{ESC}N": 1}},
        "given": replay | {"construction": "given", "claim": "judge/step-error"},
        "outside": replay | {"prompt": rows | {"x": [[2.0], [0.0]]}},
        "ragged": replay | {"prompt": rows | {"x": [[0.5], [0.5, 0.5]]}},
        "words": replay | {"prompt": rows | {"w": ["0.5"]}},
        "true": replay | {"prompt": rows | {"w": [True]}},
        "vast": replay | {"problem": letters | {"n": 10**6, "d": 10**5}},
        "deep-problem": replay | {"problem": letters | {"N": 10**400}},
        "formula": replay | {"problem": letters | {"activation": "t**t**t**t"}},
        "list": [replay],
        "nan": json.dumps(replay).replace("0.05", "NaN"),
        "twice": json.dumps(replay)[:-1] + ', "claim": "relu-icgd/paper/step-error"}',
        "nested": '{"a":' * 500 + "1" + "}" * 500,
        "cut": json.dumps(replay)[:-20],
        "utf16": json.dumps(replay).encode("utf-16"),
        "empty": b"",
    }.items():
        write(f"{name}.json", value)
    write("proof.json", certificate_text(proof))
    write("less.json", certificate_text(proof | {"certified": 1e-9}))
    write("other.json", certificate_text(proof | {"construction": f"{ESC}paper"}))
    write("format.json", certificate_text(proof | {"format": 1}))
    write("extra.json", certificate_text(proof | {f"{ESC}": 1}))
    write("report.json", {"theorems": {}, "findings": [], "command": "", "schema": 2, "seed": ESC})
    write("new.json", {"theorems": {}, "findings": {}, "command": "", "schema": 2})
    tensors, metadata = layers_by_hand(N=1, K=1)
    for name, said in {
        "by-hand": {},
        "letters": {"problem": '{"N": NaN}'},
        "slots": {"stream": '{"x": [0, 1e999]}'},
        "kind": {"attention": f"{ESC}relu"},
    }.items():
        save_file(tensors, home / f"{name}.safetensors", metadata | said)
    write("pickle.pt", b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.")
    write("leaves.py", "raise SystemExit(0)")
    write("none.py", "x = 1")
    return home


# command line, exit code, words of the message, and why
INPUTS = [
    # Files that replay a counterexample: what is allowed is eta*eps or less, whatever the file says.
    ("verify --replay honest.json", HELD, "held", "our transformer errs by less than eta*eps"),
    ("verify --replay tight.json", HELD, "error 0.1 and allowed 1e-12", "eta*eps is allowed"),
    ("verify --replay loose.json", HELD, "held", "nan is nobody's limit"),
    ("verify looped --replay honest.json", BAD, "the file is about relu-icgd", "the file names its theorem"),
    ("verify --replay honest.json --N 5", BAD, "N = 5: leave it out", "it would have no effect"),
    ("verify --replay honest.json --seed 5", BAD, "seed = 5: leave it out", "likewise"),
    ("report --from report.json --eps 1", BAD, "eps = 1.0: leave it out", "likewise"),
    ("report looped --from report.json", BAD, "theorem = looped: leave it out", "likewise"),
    ("judge by-hand.safetensors --seed 99999999999999999999", BAD, "seed = 9999", "no fault of icgd"),
    ("verify --replay softmax.json", BAD, "construction: it should be 'lean'", "it has no replay"),
    ("verify --replay number.json", BAD, "claim: it should be a text", "a claim has a name"),
    ("verify --replay sizes.json", BAD, "no prompt against the claim", "no prompt changes it"),
    ("verify --replay elsewhere.json", BAD, "looped replays no", "it has no constructions"),
    ("verify --replay coloured.json", BAD, r"\x1b[31mrelu-icgd", "no file colours a terminal"),
    ("verify --replay unknown.json", BAD, r"\x1b[31mN", "an unknown letter may change the problem"),
    ("verify --replay given.json", BAD, "icgd judge WEIGHTS --replay FILE", "it is about other weights"),
    ("verify --replay outside.json", BAD, "at most B_x = 1", "the theorem says nothing about such an x"),
    ("verify --replay ragged.json", BAD, "equally many rows", "x is a matrix"),
    ("verify --replay words.json", BAD, "prompt w 0: it should be a number", "a text is none"),
    ("verify --replay true.json", BAD, "prompt w 0: it should be a number", "true is no weight"),
    ("verify --replay vast.json", BAD, "the prompts do not fit", "a small file may ask for terabytes"),
    ("verify --replay deep-problem.json", BAD, "N = about 1.00e+400", "no cut digits in a message"),
    ("verify --replay formula.json", BAD, "activation = t**t**t**t", "it has no finite values on W"),
    ("verify --replay list.json", BAD, "an object of names and values", "one file, one counterexample"),
    ("verify --replay nan.json", BAD, "NaN is no number of JSON", "readers differ on NaN"),
    ("verify --replay twice.json", BAD, "the name 'claim' twice", "readers differ on which one counts"),
    ("verify --replay nested.json", BAD, "nested more than 40 levels", "nothing of ours is"),
    ("verify --replay cut.json", BAD, "line 1, column", "half a download"),
    ("verify --replay utf16.json", BAD, "not text in UTF-8", "JSON is UTF-8"),
    ("verify --replay empty.json", BAD, "not a JSON file", "an empty file says nothing"),
    ("verify --replay .", BAD, "it is a folder", "a file is needed"),
    ("verify --replay proof.json", BAD, "at claim: it is missing", "it is a certificate"),
    # Certificates: 1 is a certificate that does not prove what is asked; 2 is no certificate at all.
    (f"check proof.json {LETTERS}", HELD, "accepted", "the checker accepts it, and the program is ours"),
    ("check proof.json", FAILED, "N = 3 is what is proved", "the default problem is another one"),
    (f"check less.json {LETTERS}", FAILED, "refused", "nobody has proved 1e-9"),
    (f"check other.json {LETTERS}", FAILED, r"\x1b[31mpaper can be proved", "there is no such construction"),
    (f"check extra.json {LETTERS}", FAILED, r"no field '\x1b[31m'", "what is not read is not proved"),
    (f"check format.json {LETTERS}", BAD, "not a certificate", "its format is what tells a certificate"),
    ("check honest.json", BAD, "not a certificate", "it is a counterexample"),
    ("check by-hand.safetensors", BAD, "certificate = by-hand.safetensors", "these are weights"),
    ("check -", BAD, "there is no such file", "- is no file here, and a pipe can be read only once"),
    ("check proof.json --N", BAD, "requires an argument", "a value is missing"),
    # Reports
    ("report --from honest.json", BAD, "it is not the report.json", "nothing is drawn from another file"),
    ("report --from report.json", BAD, "at seed: it should be a whole number", "the seed repeats the run"),
    ("report --from new.json", BAD, "at findings: it should be a list", "its type says so"),
    ("report --from missing.json", BAD, "there is no such file", "nothing to draw"),
    # Weights
    ("judge letters.safetensors", BAD, "N = nan: a whole number", "metadata are checked like options"),
    ("judge slots.safetensors", BAD, "stream.x = [0, inf]", "a slot has whole ends"),
    ("judge kind.safetensors", BAD, r"attention = \x1b[31mrelu", "no such attention, and no colours"),
    ("judge proof.json", BAD, "safetensors", "a certificate holds no matrices"),
    ("judge by-hand.safetensors --replay honest.json", BAD, "it needs 1 coordinates", "they have d = 2"),
    # Theorems in files
    ("audit leaves.py --no-report", BAD, "it raises SystemExit", "code 0 would say: claims are kept"),
    ("audit none.py --no-report", BAD, "it defines 0 theorems", "there is nothing to audit"),
    # Options
    ("bounds --N 1 --N 2", BAD, "--N is given more than once", "the last would win in silence"),
    ("bounds --d_out 1 --d-out 2", BAD, "--d_out is given more than once", "two spellings of one letter"),
    ("audit --report --no-report", BAD, "--report or --no-report is given more than once", "they contradict"),
    ("bounds --json '' --N 1", BAD, 'json = ""', "an unset variable of a shell"),
    ("audit ''", BAD, 'theorem = ""', "an unset variable of a shell, not the default theorem"),
    ("build --N 1 --out -", BAD, "out = -: a path is needed", "a file called - helps nobody"),
    ("bounds --eps 0,05", BAD, "eps = 0,05: a number is needed, such as 0.05", "the comma of half the world"),
    ("bounds --N 1e3", BAD, "N = 1e3: a whole number is needed", "1e3 is a float"),
    ("bounds --eps 1e400", BAD, "eps = inf", "no float is that large"),
    ("bounds softmax-icgd --eps 1e-12", BAD, "eps = 1e-12: at least 2e-12", "as the user wrote it"),
    ("bounds softmax-icgd --eta 1e6", BAD, "eta = 1000000.0: at most 5e5", "likewise"),
    ("audit --data diabetes --prompts 0", BAD, "prompts = 0", "what the user wrote, not `count`"),
    ("audit convergence --prompts 5", BAD, "prompts = 5: for convergence it is about --data", "no effect"),
    (f"bounds --activation '{ESC}'", BAD, r"activation = \x1b[31m", "no option colours a terminal"),
    ("bounds --activation \"__import__('os')\"", BAD, "not a number", "formulas run no code"),
    ("bounds --loss 'log(p-y)'", BAD, "loss = log(p-y): Theorem 1 does not", "it has a pole; not tanh"),
    ("bounds softmax-icgd --loss 'log(p-y)'", BAD, "loss = log(p-y)", "likewise, and no fault of icgd"),
    ("bounds convergence --loss 'log(p-y)'", BAD, "loss = log(p-y)", "likewise"),
    ("bounds --Nn 1", BAD, "No such option", "and what is near"),
    ("bounds relu-icgd --k 4", BAD, "No such option: --k; did you mean --K?", "letters differ by case"),
    ("findings 2411.99999", BAD, "no such paper; the ledger has 2306.00297, ", "and which papers there are"),
    ("bounds looped relu-icgd", BAD, "unexpected extra argument", "one theorem a command"),
    ("bounds --N 1 --json /", BAD, "json = /: it cannot be written: it is a folder", "a folder is no file"),
    ("bounds --N 1 --json=missing/../", BAD, "json = missing/..: it cannot be written", "likewise"),
    ("audit --out none.py", BAD, "out = none.py: it cannot be written: it is a file", "a file is no folder"),
    ("build --N 1 --out a.onnx", BAD, "name it a.safetensors", "a name tells what is in a file"),
    ("judge by-hand.safetensors --effort nan", BAD, "effort = nan: a number from 0", "0 is no ascent"),
    ("judge by-hand.safetensors --samples 0", BAD, "samples = 0: a whole number of at least 1", "likewise"),
    ("judge", BAD, "Missing argument 'weights'; see icgd judge --help", "and where to read what it is"),
    ("jugde", BAD, "No such command 'jugde'; did you mean 'judge'?", "what is near"),
    ("nothing", BAD, "No such command 'nothing'; see icgd --help", "nothing is near"),
    ("audit looped --samples", BAD, "requires an argument; see icgd audit --help", "likewise"),
    ("audit --targets ''", BAD, 'targets = "": a value is needed', "an unset variable of a shell"),
    ("findings qqq", BAD, "no finding, paper or theorem is called so; icgd findings lists", "likewise"),
    ("bounds --N 1 --eps 0.5 --json ./-", HELD, "relu-icgd/heads", "a file called - for who insists"),
]  # fmt: skip


@pytest.mark.slow
def test_what_people_bring(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**33)
    monkeypatch.setenv("COLUMNS", "300")
    before, wrong = set(os.listdir()), []
    assert len(INPUTS) >= 60
    for line, code, words, why in INPUTS:
        found = cli.main(shlex.split(line))
        out, err = capsys.readouterr()
        said = out + err
        held = found == code and words in said and "\x1b" not in said
        if code == BAD:
            held &= out == "" and err.startswith("icgd: ") and err.count("\n") == 1
        wrong += [] if held else [f"{line}: {found} {said[-300:]!r}, not {code} {words!r}: {why}"]
    assert not wrong, "\n".join(wrong)
    assert set(os.listdir()) - before == {"-"}
