"""Sabotage: every damage is caught by name, undamaged ones are accepted, hidden damage is a true error."""

import re

import pytest

from icgd.verify.certificate import shape as certificate_shape
from icgd.verify.sabotage import run as sabotage
from icgd.verify.sabotage.least_claims import Measured
from icgd.verify.sabotage.mutants import Mutant, put
from icgd.verify.sabotage.run import (
    SETTINGS,
    certificates,
    constructions,
    control,
    judge_all,
    refused,
    true_certificate,
)
from tests.durations import mostly_slow

HIDDEN = [mutant for mutant in constructions() if mutant.planted]
QUICK = [*(mutant for mutant in constructions() if not mutant.planted), *certificates()]


def test_there_are_many_mutants_each_with_a_name_of_its_own():
    names = [mutant.name for mutant in [*QUICK, *HIDDEN]]
    assert len(set(names)) == len(names) >= 60
    assert sum(mutant.what == "certificate" for mutant in QUICK) >= 40
    assert len(HIDDEN) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_undamaged_is_accepted(setting):
    assert control(setting) is None


@pytest.mark.parametrize("mutant", mostly_slow(QUICK), ids=lambda mutant: mutant.name)
def test_every_damage_is_caught_by_name(mutant):
    (outcome,) = judge_all([mutant], sampling=False)
    assert outcome.caught, outcome.evidence
    assert not re.search(r"Error\b|NoneType|[{}]", outcome.evidence), outcome.evidence


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutant", [one for one in QUICK if one.what == "certificate"], ids=lambda mutant: mutant.name
)
def test_the_checkers_refuse_every_forgery_without_the_shape(mutant, monkeypatch):
    monkeypatch.setattr(certificate_shape, "flaw", lambda *_: None)
    found = true_certificate(mutant.setting)
    mutant.damage(found)
    reason = refused(mutant.setting, found)
    assert reason and not re.search(r"Error\b|NoneType|[{}]", reason), reason


@pytest.mark.slow
@pytest.mark.parametrize("mutant", HIDDEN, ids=lambda mutant: mutant.name)
def test_hidden_damage_is_real_unseen_by_sampling_and_caught(mutant):
    (outcome,) = judge_all([mutant])
    assert outcome.caught, outcome.evidence
    assert outcome.wrong_by > 1
    assert outcome.sampling_caught is False


def test_no_damage_is_no_catch():
    nothing = [
        Mutant("nothing", what, "lean", lambda _: None, ".") for what in ("construction", "certificate")
    ]
    for outcome in judge_all(nothing):
        assert (outcome.caught, outcome.by, outcome.evidence) == (False, "nobody", "ACCEPTED")
        assert not outcome.sampling_caught


def test_a_catch_for_another_reason_does_not_count():
    wrong = Mutant("eps", "certificate", "lean", put("problem.eps", 0.2), "lemma")
    (outcome,) = judge_all([wrong])
    assert not outcome.caught and "not 'lemma'" in outcome.evidence


@pytest.mark.parametrize("reason", [None, "refused"])
def test_the_command_fails_if_one_survives_or_a_control_is_refused(monkeypatch, capsys, reason):
    only = Mutant("survivor", "certificate", "lean", lambda _: None, ".")
    monkeypatch.setattr(sabotage, "SETTINGS", {"lean": SETTINGS["lean"]})
    monkeypatch.setattr(sabotage, "control", lambda setting: reason)
    monkeypatch.setattr(sabotage, "constructions", lambda: [])
    monkeypatch.setattr(sabotage, "measured_claims", lambda count: [Measured(0.5, 0.0)] * count)
    good = Mutant("eps", "certificate", "lean", put("problem.eps", 0.2), "^eps")
    monkeypatch.setattr(sabotage, "certificates", lambda: [good] if reason else [good, only])
    assert sabotage.main() == 1
    assert ("1 of 2 mutants caught" if reason is None else "1 of 1 mutants") in capsys.readouterr().out
    if reason is None:
        monkeypatch.setattr(sabotage, "certificates", lambda: [good])
        assert sabotage.main() == 0
        assert "at most 0.5000 of the bound" in capsys.readouterr().out
        for bad in (Measured(1.1, 0.0), Measured(0.5, 1e-16)):
            monkeypatch.setattr(sabotage, "measured_claims", lambda count, bad=bad: [bad])
            assert sabotage.main() == 1
