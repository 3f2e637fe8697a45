"""Every command and piece of Python of the tutorial and of the guides that are about no single command."""

import re
import shlex
from pathlib import Path

import pytest

from icgd import cli

DOCS = Path(__file__).parents[2] / "docs"
SHORTER = {
    "verify": {"--samples": "300", "--effort": "0.05"},
    "judge": {"--samples": "300", "--effort": "0.1"},
}


def commands(page):
    """The arguments of each command of a page that is indented by four spaces, and its exit code."""
    for line, comment in re.findall(r"^    icgd (.*?)(?: +# (.*))?$", page, flags=re.MULTILINE):
        told = re.search(r"exit code (\d)", comment)
        yield shlex.split(line), int(told[1]) if told else cli.KEPT


def shortened(words):
    """The command with a shorter search, without a report, and about a paper with fewer findings."""
    if "--letter" in words:
        return ["2410.11268" if word == "2411.16549" else word for word in words]
    name = words[0].replace("audit", "verify")
    less = {} if "--replay" in words else SHORTER.get(name, {})
    added = [word for pair in less.items() if pair[0] not in words for word in pair]
    return [*words, *added, *(["--no-report"] if words[0] == "audit" else [])]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tutorial", "audit-a-paper", "certify-a-construction"])
def test_the_commands_and_the_python_of_the_page_run(capsys, tmp_path, monkeypatch, name):
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for table in re.findall(r"```csv\n(.*?)```", page, flags=re.DOTALL):
        Path("houses.csv").write_text(table, encoding="utf-8")
    assert len(list(commands(page))) == len(re.findall(r"^\s+icgd ", page, re.MULTILINE)) > 2
    said = {}
    for words, expected in commands(page):
        code = cli.main(shortened(words))
        captured = capsys.readouterr()
        assert code == expected, (words, captured.out, captured.err)
        said[" ".join(words)] = captured.out
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, {})
        assert capsys.readouterr().out == "True True\n"
    if name == "tutorial":
        row = r"Error of one step, norm2\(err\)\s+┏.*\n┃ +sampled ┃ attacked ┃ certified ┃ allowed ┃"
        assert re.search(row, page) and any(re.search(row, one) for one in said.values())
        assert "half a step" in next(one for words, one in said.items() if "--eta 0.2" in words)
        assert any("64 prompts of 8 examples" in " ".join(one.split()) for one in said.values())
