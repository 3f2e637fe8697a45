"""Rules of the source tree: imports go only down the floors and not through walls; files stay small."""

import ast
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = ("bounds", "construct", "verify", "reports", "icgd")
THEOREMS = ("convergence", "functional", "looped", "preconditioned", "relu_icgd", "softmax_icgd")
OF_A_THEOREM = {
    *("HYPOTHESES", "MODEL", "NAME", "SOURCE", "THEOREM", "TITLE"),
    *("build", "claims", "verify"),
}
IN_TWO_LANGUAGES = {"exact", "statement", "symbol"}
ODDS_AND_ENDS = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base", "core", "tools"}
LINES = 420


def named(path):
    """The name under which a source file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "icgd" else ("icgd", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_source(path):
    """Whether a file is a module of the package; claims as tests lie beside the verdicts that they run."""
    return not path.name.startswith("test_") and path.name != "conftest.py"


SOURCES = {
    named(path): path
    for floor in FLOORS
    for path in sorted((ROOT / floor).rglob("*.py"))
    if is_source(path) and "__pycache__" not in path.parts
}
THEOREM_MODULES = [
    name for floor in FLOORS[:4] for theorem in THEOREMS if (name := f"icgd.{floor}.{theorem}") in SOURCES
]
TESTS = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "verify").glob("test_*.py"), ROOT / "verify/conftest.py"]
FOLDERS = sorted({path.parent for path in SOURCES.values()})


@cache
def imports(path):
    """Every name that a file imports, wherever in it, as full names of modules or of what is in them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: imports are written in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def modules(path):
    """The modules of ours that a file imports; `from a import b` means a.b where that is a module, else a."""
    mine = {name for name in imports(path) if name.split(".")[0] == "icgd"}
    return {name if name in SOURCES else name.rpartition(".")[0] for name in mine} & set(SOURCES)


def within(name, room):
    return name == room or name.startswith(room + ".")


def floor(name):
    part = [*name.split("."), "icgd"][1]
    return FLOORS.index(part) if part in FLOORS else len(FLOORS) - 1


def test_imports_go_down_only():
    up = {
        (name, other)
        for name, path in SOURCES.items()
        for other in modules(path)
        if floor(other) > floor(name)
    }
    assert not up, "each imports from a floor above"
    numeric = {name for name in SOURCES if within(name, "icgd.bounds")}
    assert not {name for name in numeric for other in imports(SOURCES[name]) if within(other, "torch")}


def forbidden(name):
    """The rooms that a module must not know of."""
    if within(name, "icgd.reports.html"):
        yield "icgd.reports.latex"
    if within(name, "icgd.reports.latex"):
        yield "icgd.reports.html"
    if within(name, "icgd.reports.document"):  # a document knows no page
        yield from ("icgd.reports.html", "icgd.reports.latex")
    if name in THEOREM_MODULES:
        own = name.rpartition(".")[2]
        yield "icgd.verify.ledger"
        yield from (other for other in THEOREM_MODULES if other.rpartition(".")[2] != own)


def test_walls_stand():
    behind = {
        (name, other)
        for name, path in SOURCES.items()
        for other in modules(path)
        if any(within(other, room) for room in forbidden(name))
    }
    assert not behind, "each imports through a wall"


def test_the_checker_shares_no_code_with_what_it_judges():
    trusted = [name for name in SOURCES if within(name, "icgd.verify.checker")]
    mine = {(name, other) for name in trusted for other in imports(SOURCES[name]) if within(other, "icgd")}
    assert not {(name, other) for name, other in mine if not within(other, "icgd.verify.checker")}
    assert trusted


def test_every_theorem_has_its_modules_behind_walls():
    """A theorem may need no transformer of its own, but bounds and verdicts each has."""
    assert {name.rpartition(".")[2] for name in THEOREM_MODULES} == set(THEOREMS)
    assert {f"icgd.{floor}.{theorem}" for floor in ("bounds", "verify") for theorem in THEOREMS} <= set(
        THEOREM_MODULES
    )


def test_no_imports_go_in_a_circle():
    left = {name: modules(path) - {name} for name, path in SOURCES.items()}
    while free := {name for name, needed in left.items() if not needed & set(left)}:
        left = {name: needed for name, needed in left.items() if name not in free}
    assert not left, f"in a circle, or above one: {sorted(left)}"


def public_names(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = {node.name}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {part.id for one in targets for part in ast.walk(one) if isinstance(part, ast.Name)}
        else:
            names = set()
        yield from (name for name in names if not name.startswith("_"))


def test_a_public_name_has_one_meaning():
    """What theorems have in common is named alike, and so is what HTML and LaTeX say each in its own way.

    The checker shares no code with what it judges, so it has an `Envelope` of its own, for instance;
    evidence is named with its module wherever it is named.
    """
    found = defaultdict(set)
    for name, path in SOURCES.items():
        if not within(name, "icgd.verify.checker") and not within(name, "icgd.verify.ledger.evidence"):
            for public in public_names(path):
                if not (public in OF_A_THEOREM and name in THEOREM_MODULES):
                    found[public].add(name)
    twice = {public: names for public, names in found.items() if len(names) > 1}
    assert twice.keys() <= {"main", *IN_TWO_LANGUAGES}, twice
    assert all(len(twice.get(public, ())) == 2 for public in IN_TWO_LANGUAGES)


def test_every_module_is_used_or_tested():
    sources, tests = (
        {other for path in paths for other in modules(path) if SOURCES[other] != path}
        for paths in (SOURCES.values(), TESTS)
    )
    texts = [*SOURCES.values(), ROOT / "Makefile", *(ROOT / "verify/ledger").glob("*.toml")]
    text = "".join(path.read_text(encoding="utf-8") for path in texts)
    for name, path in SOURCES.items():
        if path.name not in ("__init__.py", "__main__.py"):
            run = f"-m {name}" in text  # as a command
            named = f'evidence = "{path.stem}.' in text and within(name, "icgd.verify.ledger.evidence")
            assert name in sources | tests or run or named, f"nobody imports {name}"


def test_folders_are_packages_that_ship():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    for folder in FOLDERS:
        assert named(folder / "__init__.py") in packages
        body = ast.parse((folder / "__init__.py").read_text("utf-8")).body
        assert ast.get_docstring(ast.Module(body, [])), folder
        assert len(body) == 1 or folder.name == "icgd", f"code hides in an __init__: {folder}"


def test_nothing_ships_that_is_not_there():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    assert sorted(packages) == sorted(named(folder / "__init__.py") for folder in FOLDERS)


def test_tests_mirror_the_tree():
    mirrors = [ROOT / "tests" / folder.relative_to(ROOT) for folder in FOLDERS]
    assert not [mirror for mirror in mirrors if not list(mirror.glob("test_*.py"))]


def test_files_are_small_and_named_for_what_they_hold():
    for path in (*SOURCES.values(), *TESTS):
        assert path.stem not in ODDS_AND_ENDS
        assert path in TESTS or len(path.read_text(encoding="utf-8").splitlines()) <= LINES, path
