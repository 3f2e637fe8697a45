"""How much code a proof relies on: what commands and pages say is counted here."""

import ast
import io
import tokenize
from pathlib import Path

from icgd.verify.certificate.constructions import CONSTRUCTIONS

ROOT = Path(__file__).parents[3]
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def lines_of_code(path):
    """The lines that are neither blank nor comments nor docstrings."""
    text = path.read_text(encoding="utf-8")
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and type(node.value.value) is str
        ):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def test_the_size_of_what_is_trusted_is_what_is_said():
    sizes = {path.name: lines_of_code(path) for path in (ROOT / "verify" / "checker").glob("*.py")}
    whole = f"{sum(sizes.values()):,} lines of code"
    relu = f"{sum(size for name, size in sizes.items() if 'softmax' not in name):,} lines of code"
    assert any(relu in one for one in CONSTRUCTIONS["lean"].trusted)
    assert any(whole in one for one in CONSTRUCTIONS["softmax"].trusted)
    certificates, trust = (
        (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("certificates", "trust")
    )
    assert relu in certificates and relu in trust and whole in trust
    assert f"`verify/checker/softmax.py` ({sizes['softmax.py']} lines" in certificates
    assert all(f"`{name}` {size}" in trust for name, size in sizes.items() if size)
