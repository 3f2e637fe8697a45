"""Every dependency has a reason in docs/dependencies.md and an exact version, and none was rejected there."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
TAKEN, LEFT = PAGE.split("## Considered and not taken")


def asked_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    words = (*project["dependencies"], *extras["dev"], *extras["docs"])
    return {re.match(r"[\w-]+", word)[0].lower() for word in words}


def named(text):
    return set(re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE))


def test_the_page_gives_a_reason_for_each():
    assert named(TAKEN) >= asked_for()
    assert named(LEFT) and not named(LEFT) & asked_for()


def test_each_has_an_exact_version():
    pinned = re.findall(r"^([\w.-]+)==\S+$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert len(pinned) == len({name.lower() for name in pinned})
    assert asked_for() <= {name.lower() for name in pinned}
