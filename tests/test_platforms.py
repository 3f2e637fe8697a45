"""The toolkit needs no function that macOS or Windows lack."""

import ast
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

import icgd
from icgd.reports.command.run_files import check_line

ROOT = Path(__file__).parents[1]
FOLDERS = ("icgd", "bounds", "construct", "verify", "reports")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]

ELSEWHERE = """
import os, signal, sys

# The libraries first: they know where they run.
import filelock, matplotlib.figure, psutil, pytest, sklearn.datasets, torch, typer
from hypothesis import strategies

filelock.FileLock = filelock.SoftFileLock  # what stands in its place where there is no flock
for name in ("fcntl", "grp", "posix", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in (
    "O_NONBLOCK", "fork", "forkpty", "getpgid", "getuid", "killpg", "mkfifo", "pread", "sched_getaffinity",
    "setsid", "statvfs", "sysconf", "sysconf_names", "uname", "wait3", "wait4",
):
    delattr(os, name)
for name in ("SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "alarm", "pthread_sigmask"):
    delattr(signal, name)
"""
USED = """
import importlib
from pathlib import Path
from types import SimpleNamespace

sys.modules.setdefault("griffe", SimpleNamespace(Extension=object))  # only the site of docs/ installs it
for module in sys.argv[1:]:
    importlib.import_module(module)

from icgd.__main__ import main
from icgd.construct.machine.json_files import load_json
from icgd.construct.machine.memory import available_bytes

for arguments in (["--version"], ["bounds", "looped"], ["bounds", "looped", "--json", "out.json"]):
    sys.argv = ["icgd", *arguments]
    assert main() == 0, arguments
assert load_json(Path("out.json"), "out.json")["bounds"]
assert available_bytes() > 0
"""


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("icgd", *parts) if parts[0] != "icgd" else parts).removesuffix(".__init__")


@pytest.mark.slow
def test_every_module_and_a_command_run_without_the_names_that_only_unix_has(tmp_path):
    modules = [module_of(path) for path in SOURCES if path.name != "__main__.py"]
    words = [sys.executable, "-c", ELSEWHERE + USED, *modules]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"icgd {icgd.__version__}\n") and "looped/parameters" in done.stdout


def test_a_path_in_a_command_needs_no_quotes_of_one_shell():
    path = PureWindowsPath("out", "c.json")
    assert check_line(path, "--N 2") == "icgd check out/c.json --N 2"


def test_text_in_files_has_the_same_encoding_on_every_system():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                place = {"read_text": 0, "write_text": 1}.get(node.func.attr)
                named = "encoding" in {word.arg for word in node.keywords}
                assert place is None or named or len(node.args) > place, f"{path}:{node.lineno}"
