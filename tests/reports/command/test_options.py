"""Options of the command line: what `--help` says of their defaults."""

import re

import pytest

from icgd import cli

NUMBER = re.compile(r"\[default: (-?\d\S*)\]")


def explained(capsys, line):
    """The text of --help on one line."""
    assert cli.main([*line.split(), "--help"]) == cli.KEPT
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bounds looped", "step size, 0 for n/(sqrt n + sqrt d + t)^2 [default: 0]"),
        ("audit", "length of the attack, 0 for none (relu-icgd) [default: 1]"),
        ("report relu-icgd", "length of the attack, 0 for none [default: 0.3]"),
        ("judge", "length of the ascents, 0 for none [default: 1]"),
        ("sweep", "step size [default: 0.1]"),
    ],
)
def test_a_default_is_written_as_a_person_writes_it(line, said, capsys):
    text = explained(capsys, line)
    assert said in text
    found = NUMBER.findall(text)
    assert len(found) >= 5 and not [one for one in found if one.endswith(".0") or "e-0" in one]
