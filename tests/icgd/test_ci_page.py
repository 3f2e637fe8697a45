"""Every command and piece of Python of docs/ci.md, and the commands of its workflow."""

import json
import re
import shlex
from pathlib import Path

from icgd import cli
from tests.closed_schemas import as_documented, undocumented

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    ((?:icgd|pytest) .*?)(?: +# (.*))?$", PAGE, flags=re.MULTILINE)


def test_every_command_of_the_page_does_what_the_page_says(pytester, monkeypatch, capsys):
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    (test,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    Path("test_step.py").write_text(test, encoding="utf-8")
    assert len(COMMANDS) == 9
    for line, comment in COMMANDS:
        program, *words = shlex.split(line)
        if program == "icgd":
            code = cli.main(words)
        else:  # Hypothesis would be imported anew in each run, which takes a second
            code = pytester.runpytest_inprocess(
                *words, "-p", "no:cacheprovider", "-p", "no:hypothesispytest"
            ).ret
        assert code == (cli.FAILED if "exit code 1" in comment else cli.KEPT), line
    capsys.readouterr()
    assert as_documented("audit", Path("audit.json").read_text("utf-8"))["theorem"] == "looped"
    shipped = json.loads(Path("audit.schema.json").read_text("utf-8"))
    assert shipped["$id"].endswith(":audit") and undocumented("audit", {"schema": 2})
    assert Path("verdicts.xml").read_text("utf-8").count("<testcase") == 9
    assert json.loads(Path("findings.sarif").read_text("utf-8"))["runs"][0]["results"]


def test_the_workflow_runs_commands_of_the_page():
    (workflow,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    ran = [line for line in re.findall(r"- run: (.*)", workflow) if not line.startswith("pip ")]
    assert len(ran) == 2 and {*ran} <= {line for line, _ in COMMANDS}
