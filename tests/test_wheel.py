"""The installed wheel adds only the name icgd, and works next to packages and folders with similar names."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import icgd

ROOT = Path(__file__).parents[1]
FOLDERS = ("icgd", "bounds", "construct", "verify", "reports")
INTERPRETER = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
COMMAND = Path("Scripts/icgd.exe" if os.name == "nt" else "bin/icgd")

pytestmark = pytest.mark.wheel

PLUGIN = """
def pytest_addoption(parser):
    for name in ("browser", "construction", "device", "N", "out", "output", "samples", "seed"):
        parser.addoption(f"--{name}", default="theirs")
"""
TYPED = """
import icgd
from icgd.reports.document.shape import AuditDocument

reveal_type(icgd.Problem(N=2).dims)
icgd.Problem(N="two")


def claims(document: AuditDocument) -> list[str]:
    return [verdict["clam"] for verdict in document["verdicts"]]
"""


def done(*words, folder, code=0):
    """What a command printed, run in a folder, with no setting of Python or pytest that this run has."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PY", "MYPY"))}
    run = subprocess.run(list(map(str, words)), cwd=folder, env=env, capture_output=True, text=True)
    assert run.returncode == code, run.stdout + run.stderr
    return run.stdout


def pip(*words):
    words = ("--disable-pip-version-check", *words)
    return done(sys.executable, "-m", "pip", *words, folder=ROOT)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The sources alone: `build/` of the checkout may hold what is no longer among them."""
    folder = tmp_path_factory.mktemp("sources")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, sources)
    (made,) = folder.iterdir()
    return made


def made_up(folder, name, files):
    """A wheel of somebody else's."""
    about = f"{name}-2.0.dist-info"
    files = files | {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{about}/RECORD"))
    path = folder / f"{name}-2.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in (files | {f"{about}/RECORD": record}).items():
            archive.writestr(file, text)
    return path


@pytest.fixture(scope="module")
def user(wheel, tmp_path_factory):
    """A fresh environment with icgd beside others, which sees the libraries that are installed here."""
    folder = tmp_path_factory.mktemp("user")
    done(sys.executable, "-m", "venv", "--without-pip", "--symlinks", folder, folder=folder)
    (site,) = folder.rglob("site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    entry = {"clashing-2.0.dist-info/entry_points.txt": "[pytest11]\nclashing = clashing\n"}
    others = [
        made_up(folder, "construct", {"construct/__init__.py": "kept = True\n"}),
        made_up(folder, "clashing", {"clashing.py": PLUGIN} | entry),
    ]
    pip("--python", folder / INTERPRETER, "install", "--quiet", "--no-deps", "--no-index", *others, wheel)
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder in which four names are the user's own."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("verify/__init__.py", "reports/__init__.py", "construct.py", "bounds.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise ImportError('this is no part of icgd')\n")
    return folder


def test_the_wheel_is_the_sources_under_one_name(wheel, sources):
    names = set(zipfile.ZipFile(wheel).namelist())
    about = f"icgd-{icgd.__version__}.dist-info/"
    kept = {name for name in names if not name.startswith(about)}
    files = (path.relative_to(sources) for name in FOLDERS for path in (sources / name).rglob("*"))
    expected = {
        (path if path.parts[0] == "icgd" else "icgd" / path).as_posix()
        for path in files
        if (sources / path).is_file()
    }
    assert kept == expected
    assert {Path(name).suffix for name in kept} >= {".py", ".v", ".toml", ".j2", ".bib", ".typed"}


def test_others_stay_as_they_were(user, work):
    code = "import construct, icgd.construct; assert construct.kept and not hasattr(icgd.construct, 'kept')"
    done(user / INTERPRETER, "-P", "-c", code, folder=work)
    where = done(user / INTERPRETER, "-c", "import icgd; print(icgd.__file__)", folder=work)
    assert Path(where.strip()).is_relative_to(user)


def test_the_import_is_light_and_the_version_is_said(user, work):
    heavy = {"torch", "typer", "sympy", "numpy", "scipy", "mpmath", "flint", "rich", "matplotlib"}
    code = f"import sys, icgd; print(icgd.__version__, *sorted({heavy} & set(sys.modules)))"
    assert done(user / INTERPRETER, "-c", code, folder=work) == f"{icgd.__version__}\n"
    assert done(user / COMMAND, "--version", folder=work) == f"icgd {icgd.__version__}\n"
    assert done(user / INTERPRETER, "-m", "icgd", "--version", folder=work) == f"icgd {icgd.__version__}\n"


def test_the_command_runs_beside_a_users_own_names(user, work):
    assert "looped/parameters" in done(user / COMMAND, "bounds", "looped", folder=work)
    assert "looped/parameters" in done(user / INTERPRETER, "-m", "icgd", "bounds", "looped", folder=work)


def test_the_claims_are_tested_beside_a_users_own_names(user, work):
    asked = ["--pyargs", "icgd.verify", "--icgd", "d=2 n=16 T=3", "-k", "looped and steps"]
    words = ["-m", "pytest", "-p", "icgd.verify.plugin", *asked, "--output", "mine"]
    told = done(user / INTERPRETER, *words, folder=work)
    assert "T = 3 for looped" in told and re.search(r"^looped/steps +proved ", told, re.MULTILINE)


def test_a_users_types_are_checked(user, tmp_path):
    (tmp_path / "mine.py").write_text(TYPED)
    words = ("-m", "mypy", "--python-executable", user / INTERPRETER, "mine.py")
    told = done(sys.executable, *words, folder=tmp_path, code=1)
    assert 'Revealed type is "tuple[int, ...]"' in told
    assert re.findall(r"^mine.py:(\d+): error", told, re.MULTILINE) == ["6", "10"]


# A theorem of a third party: the worked example of docs/adding-a-theorem.md, as a file and as a package.

EXAMPLE = (ROOT / "docs" / "one_step.py").read_text(encoding="utf-8")
PACKAGED = """

from dataclasses import replace
from pathlib import Path

THEOREM = replace(
    THEOREM,
    findings=Path(__file__).with_name("mine.toml"),
    evidence={"entries": lambda d, m: {"entries": 4 * (d + m) ** 2, "shows": True}},
)
"""
FINDING = """
[paper]
number = "2212.07677"
title = "Transformers learn in-context by gradient descent"
authors = ["Johannes von Oswald"]
version = "arXiv"
read = "abstract"

[[finding]]
key = "2212.07677/entries"
theorem = "one-step"
statement = "Proposition 1"
place = "Section 3"
quotation = ""
claim = "The four matrices are given."
bearing = "sharper"
severity = "none"
kind = "count"
evidence = "entries"
given = { d = 3, m = 2 }
finding = "{entries} entries."
repair = ""
not_claimed = "That fewer would not do."
expected = { entries = 100 }
"""


@pytest.fixture(scope="module")
def mine(work):
    (work / "one_step.py").write_text(EXAMPLE, encoding="utf-8")
    return "./one_step.py"


def test_the_worked_example_is_short_and_complete():
    assert len(EXAMPLE.splitlines()) < 60
    page = (ROOT / "docs" / "adding-a-theorem.md").read_text(encoding="utf-8")
    assert "one_step.py" in page and "icgd.theorems" in page


def test_a_file_is_a_theorem_for_every_command(user, work, mine):
    assert "one-step/size" in done(user / COMMAND, "bounds", mine, "--m", "3", folder=work)
    assert "examples in context" in done(user / COMMAND, "audit", mine, "--help", folder=work)
    done(user / COMMAND, "build", mine, "--out", "kept/made.safetensors", folder=work)
    assert (work / "kept" / "made.safetensors").stat().st_size > 4 * 25 * 8
    told = done(user / COMMAND, "audit", mine, "--m", "1", "-v", folder=work)
    assert "one-step/step proved by exact arithmetic" in told
    assert "one-step/step" in (work / "out" / "report" / "report.html").read_text(encoding="utf-8")
    assert "icgdOneStepBoundSize" in (work / "out" / "report" / "report.tex").read_text(encoding="utf-8")
    words = ["--pyargs", "icgd.verify", "--icgd", f"theorem={mine} m=1", "-k", "one-step"]
    told = done(user / INTERPRETER, "-m", "pytest", "-p", "icgd.verify.plugin", *words, folder=work)
    assert re.search(r"^one-step/step +proved ", told, re.MULTILINE)
    again = "import icgd; print(icgd.theorem('./one_step.py').verify().verdicts[0].status)"
    assert done(user / INTERPRETER, "-c", again, folder=work) == "proved\n"


def test_a_wrong_file_is_found_out(user, work):
    (work / "wrong.py").write_text(EXAMPLE.replace("block_diag(0 * x, -y)", "block_diag(0 * x, y)"))
    told = done(user / COMMAND, "audit", "./wrong.py", "--no-report", "-v", folder=work, code=1)
    assert "one-step/step failed" in told and "replay: icgd verify ./wrong.py" in told
    (work / "empty.py").write_text("")
    done(user / COMMAND, "audit", "./empty.py", folder=work, code=2)


def test_an_installed_package_brings_its_theorem_and_its_findings(user, work, tmp_path_factory):
    entry = {"mine-2.0.dist-info/entry_points.txt": "[icgd.theorems]\none = mine:THEOREM\n"}
    files = {"mine.py": EXAMPLE + PACKAGED, "mine.toml": FINDING} | entry
    package = made_up(tmp_path_factory.mktemp("package"), "mine", files)
    words = ("--python", user / INTERPRETER, "install", "--quiet", "--no-deps", "--no-index")
    pip(*words, package)
    try:
        assert "one-step/size" in done(user / COMMAND, "bounds", "one-step", "--m", "3", folder=work)
        told = done(user / COMMAND, "findings", "2212.07677/entries", folder=work)
        assert "100 entries." in told
    finally:
        pip("--python", user / INTERPRETER, "uninstall", "--quiet", "--yes", "mine")
