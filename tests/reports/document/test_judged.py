"""The report about a judged transformer: its first sentences, its type, and what is called certified."""

import re

from safetensors.numpy import save_file

from icgd import cli
from icgd.reports import report
from icgd.reports.document.shape import AuditDocument
from icgd.reports.document.upgrade import load
from icgd.reports.latex.typeset import Typeset
from tests.numpy_layers import layers_by_hand


def test_a_report_says_first_what_the_transformer_is(tmp_path, misfits, monkeypatch):
    tensors, metadata = layers_by_hand(N=1, K=1, eps=0.3, room=1e-12)
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata)
    monkeypatch.setattr(report, "typeset", lambda tex: Typeset(None, "not typeset"))
    given = ["judge", str(path), "--samples", "200", "--effort", "0.1", "--out", str(tmp_path), "--report"]
    for more, code, said in (
        ([], cli.KEPT, "proved by certificate"),
        (["--eta", "3"], cli.FAILED, "is not the"),
    ):
        assert cli.main([*given, *more]) == code
        page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
        document = load(tmp_path / "report" / "report.json")
        assert list(misfits(document, AuditDocument)) == []
        assert said in document["conclusion"] and document["conclusion"].startswith("A block of ")
        lead = re.search(r'<p class="lead">(.*?)</p>', page, flags=re.DOTALL)[1]
        assert said in lead and "<h1>model.safetensors, judged</h1>" in page
        assert "\\textbf{A block of" in (tmp_path / "report" / "report.tex").read_text(encoding="utf-8")
        assert {one["about"] for one in document["verdicts"]} == {"given"}
        assert ("certified" in document["theorems"]["judge"]["step_error"]) == (code == cli.KEPT)
