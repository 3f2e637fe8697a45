"""Running TeX: messages about a missing engine, errors and warnings, and no files or processes left over."""

import os
import select
import subprocess
import time

import pytest

from icgd.reports.latex.typeset import BUILD, typeset

needs_tex = pytest.mark.needs("latexmk")


def article(folder, body, name="note"):
    tex = folder / f"{name}.tex"
    tex.write_text(rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}")
    return tex


def pretended(folder, script):
    """A which() that finds this script for every program."""
    program = folder / "bin" / "latexmk"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return lambda name: str(program)


def test_without_an_engine_it_says_what_to_install(tmp_path):
    tex = article(tmp_path, "text")
    tex.with_suffix(".pdf").write_text("an older one")
    made = typeset(tex, which=lambda name: None)
    assert made.pdf is None and "install" in made.message and "latexmk -pdf note.tex" in made.message
    assert [path.name for path in tmp_path.iterdir()] == ["note.tex"]


def test_an_engine_that_does_not_end_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "held")
    reader = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    script = f"exec 3>'{tmp_path}/held'; sleep 6000 & echo began >&3; wait"

    class Endless(subprocess.Popen):
        """Its time is up as soon as the engine has started what it starts."""

        def wait(self, timeout=None):
            if timeout is None:
                return super().wait()
            assert said(reader) == b"began\n"
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(subprocess, "Popen", Endless)
    made = typeset(article(tmp_path, "text"), which=pretended(tmp_path, script), seconds=0.5)
    assert made.pdf is None and "0.5 s" in made.message
    assert said(reader) == b""  # nobody holds the other end: the engine is gone, and what it started too
    os.close(reader)


def said(reader):
    """What comes next out of a pipe, nothing once its other end is closed."""
    ready, _, _ = select.select([reader], [], [], 300)
    assert ready, "the engine hangs"
    return os.read(reader, 100)


def test_warnings_are_read_off_the_log(tmp_path):
    log = r"""
Overfull \hbox (3.0pt too wide) in paragraph at lines 1--2
Underfull \hbox (badness 10000) in paragraph
Underfull \vbox (badness 10000) has occurred while \output is active
LaTeX Warning: Reference `sec:a' on page 1 undefined on input line 3.
LaTeX Warning: Citation `b' on page 1 undefined on input line 3.
LaTeX Warning: Label `c' multiply defined.
Missing character: There is no \xe9 in font cmr10!
Package hyperref Info: nothing
"""
    (tmp_path / "log").write_text(log)
    (tmp_path / "blg").write_text('Warning--I didn\'t find a database entry for "b"\n')
    script = (
        f"cp {tmp_path}/log {BUILD}/note.log; cp {tmp_path}/blg {BUILD}/note.blg; echo > {BUILD}/note.pdf"
    )
    made = typeset(article(tmp_path, "text"), which=pretended(tmp_path, script))
    assert made.pdf == tmp_path / "note.pdf"
    assert made.message == "7 warnings on note.pdf"
    assert len(made.warnings) == 7 and not any("badness 10000) in paragraph" in one for one in made.warnings)


@needs_tex
def test_an_error_is_told_with_its_line(tmp_path):
    made = typeset(article(tmp_path, "\n\n\\unknowncommand"))
    assert made.pdf is None and "Undefined control sequence" in made.message and "l.3" in made.message


@needs_tex
def test_the_folder_keeps_nothing_but_sources_and_the_pdf(tmp_path):
    (tmp_path / ".latexmkrc").write_text("die 'it was read';")
    made = typeset(article(tmp_path, r"\label{a} See \ref{a}."))
    assert made.pdf == tmp_path / "note.pdf" and made.warnings == () and made.message == ""
    assert {path.name for path in tmp_path.iterdir()} == {".latexmkrc", BUILD, "note.pdf", "note.tex"}


@needs_tex
def test_shell_commands_in_a_document_are_not_run(tmp_path):
    typeset(article(tmp_path, r"\immediate\write18{touch harm} text"))
    assert not list(tmp_path.rglob("harm"))


@needs_tex
def test_the_same_text_gives_the_same_bytes(tmp_path):
    made, before = [], int(time.time())
    for name in ("one", "another folder"):
        while int(time.time()) == before:  # until the clock of the machine shows another time
            time.sleep(0.01)
        before = int(time.time())
        (tmp_path / name).mkdir()
        made.append(typeset(article(tmp_path / name, r"\today")).pdf.read_bytes())
    assert made[0] == made[1]


@needs_tex
def test_an_undefined_reference_is_a_warning(tmp_path):
    made = typeset(article(tmp_path, r"See \ref{nowhere}."))
    assert made.pdf is not None and any("nowhere" in warning for warning in made.warnings)


@needs_tex
def test_files_elsewhere_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("openin_any", "a")
    monkeypatch.setenv("TEXMFOUTPUT", "/etc")
    assert "not found" in typeset(article(tmp_path, r"x \input{/etc/passwd}")).message
    body = r"x \newread\f \openin\f=/etc/passwd \ifeof\f\else\itisread\fi"
    assert typeset(article(tmp_path, body)).pdf is not None


@needs_tex
def test_settings_at_home_are_not_run(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".latexmkrc").write_text("die 'it was read';")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert typeset(article(tmp_path, "text")).pdf is not None
