"""The pytest plugin: claims as tests, as an auditor or another repository's CI runs them."""

import re
import shlex
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from safetensors.numpy import save_file

import icgd.verify.looped
import icgd.verify.plugin  # once, and not anew in each run below
from icgd.bounds.letters import ProblemError
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.verify import catalogue, relu_icgd
from icgd.verify.catalogue import find_theorem, theorems
from icgd.verify.requests import Found, all_requests
from icgd.verify.search.counterexample import Counterexample
from icgd.verify.sweeps.release import release
from icgd.verify.verdict import Verdict, count_claims
from tests.numpy_layers import layers_by_hand

pytest_plugins = ["pytester"]

SMALL = "N=1 K=2 d=1 n=2 L=1 samples=50 effort=0 construction=lean"
PROBLEM = LoopedProblem(d=2, n=16, T=3)
POSED = ("--icgd", "d=2 n=16 T=3")

COUNTED = """
import icgd.verify.looped
from pathlib import Path

original = icgd.verify.looped.least_squares_referee

def counted(*arguments):
    with Path({path!r}).open("a") as file:
        file.write("once\\n")
    return original(*arguments)

icgd.verify.looped.least_squares_referee = counted
"""
WRONG = """
import icgd.verify.looped

build = icgd.verify.looped.build

def wrong(problem):
    made = build(problem)
    made.Q.mul_(1.01)
    return made

icgd.verify.looped.build = wrong
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run the claims of the installed package from an unrelated directory, in this process."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("build", "least_squares_referee"):  # what COUNTED and WRONG put there is taken back
        monkeypatch.setattr(icgd.verify.looped, name, getattr(icgd.verify.looped, name))

    def claims(*options, files=("--pyargs", "icgd.verify.test_catalogue")):
        # Hypothesis would be imported anew in each run, which takes a second.
        plugins = ("-p", "icgd.verify.plugin", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return pytester.runpytest_inprocess(*plugins, *options, *files)

    return claims


def put(monkeypatch, **changes):
    """Put another theorem under the name of looped."""
    monkeypatch.setitem(catalogue._known, "looped", replace(find_theorem("looped"), **changes))


def collected(result):
    return set(re.findall(r"test_claim\[(.*)\]", result.stdout.str()))


def cases(path):
    """Test name -> (properties, outcome) of a JUnit file."""
    found = {}
    for case in ET.parse(path).iter("testcase"):
        properties = {one.get("name"): one.get("value") for one in case.iter("property")}
        found[case.get("name")] = properties, {child.tag for child in case} - {"properties"}
    return found


def test_k_selects_theorems_claims_and_constructions(run):
    every = collected(run("--collect-only", "-q"))
    assert {
        claim for one in theorems().values() if not one.constructions for claim in one.claim_keys()
    } < every
    chosen = collected(run("--collect-only", "-q", "-k", "relu-icgd and lean"))
    assert {"relu-icgd/lean/heads", "relu-icgd/lean/step-error"} < chosen
    assert chosen == {claim for claim in every if claim.startswith("relu-icgd/lean/")}
    steps = collected(run("--collect-only", "-q", "-k", "step-error"))
    ours = {"relu-icgd/lean/step-error", "relu-icgd/paper/step-error", "softmax-icgd/step-error"}
    assert steps == ours | {"relu-icgd/step-error"}
    # The theorem's own sizes are judged on its own construction.
    assert "relu-icgd/heads" in collected(run("--collect-only", "-q", "-k", "relu-icgd and paper"))
    by_key = collected(run("--collect-only", "-q", "-k", "/start"))
    assert by_key == {"relu-icgd/lean/start", "relu-icgd/paper/start"}
    assert collected(run("--collect-only", "-q", "-k", "looped/steps")) == {"looped/steps"}


def test_its_one_option_has_a_name_of_its_own(run):
    shown = run("--help").stdout.str()
    ours = shown.partition("the problem whose claims are tested:")[2].partition("\n\n")[0]
    assert re.findall(r"^  (--[\w-]+)", ours, re.MULTILINE) == ["--icgd"]


def test_the_table_and_the_xml_carry_every_verdict(run, pytester):
    result = run(*POSED, "-k", "looped", "--junitxml=verdicts.xml")
    expected = find_theorem("looped").verify(PROBLEM).verdicts
    assert result.ret == 0
    result.stdout.fnmatch_lines(["icgd: T = 3 for looped", "*= claims =*"])
    found = cases(pytester.path / "verdicts.xml")
    for verdict in expected:
        properties, outcome = found[f"test_claim[{verdict.claim}]"]
        numbers = {f"numbers.{name}": str(value) for name, value in verdict.numbers.items()}
        document = {name: value for name, value in verdict.as_dict().items() if name != "numbers"}
        assert properties == document | numbers | {"suite": "looped"}
        assert outcome == ({"skipped"} if verdict.status == "inapplicable" else set())
        assert re.search(rf"^{verdict.claim} +{verdict.said} ", result.stdout.str(), re.MULTILINE)
    table = result.stdout.str().partition("= claims =")[2].splitlines()[1 : len(expected) + 1]
    assert [line.split()[0] for line in table] == [verdict.claim for verdict in expected]
    assert max(map(len, table)) <= 80
    for line in count_claims([verdict.as_dict() for verdict in expected]):
        assert line in result.stdout.str().splitlines()
    assert "2 claims of icgd about its own constructions and bounds: 1 counted, 1 held" in result.stdout.str()


def test_a_failure_shows_evidence_and_replay_and_no_traceback(run, pytester, monkeypatch):
    build = icgd.verify.looped.build

    def wrong(problem):
        made = build(problem)
        made.Q.mul_(1.01)
        return made

    monkeypatch.setattr(icgd.verify.looped, "build", wrong)
    result = run(*POSED, "--icgd=seed=7", "-k", "looped/steps", "--junitxml=verdicts.xml")
    assert result.ret == 1
    replay = f"icgd verify looped {PROBLEM.options} --seed 7"
    lines = ["looped/steps: prompt 0, loop 1: the label row is not y - X w_1", f"replay: {replay}"]
    result.stdout.fnmatch_lines(lines, consecutive=True)
    assert "Traceback" not in result.stdout.str() and "plugin.py" not in result.stdout.str()
    properties, outcome = cases(pytester.path / "verdicts.xml")["test_claim[looped/steps]"]
    assert outcome == {"failure"} and properties["verdict"] == "failed" and properties["replay"] == replay


def test_a_failed_step_error_leaves_its_counterexample_in_a_file(run, pytester, monkeypatch):
    assemble = relu_icgd.assemble

    def hasty(made, *examples):
        built = assemble(plan(replace(made.problem, eta=2 * made.problem.eta), "lean"), *examples)
        built.problem = replace(built.problem, eta=made.problem.eta)
        return built

    monkeypatch.setattr(relu_icgd, "assemble", hasty)
    result = run("--icgd", f"{SMALL} out='kept here'", "-k", "relu-icgd/lean/step-error")
    assert result.ret == 1
    text = result.stdout.str()
    assert "smallest counterexample: norm2(err) = " in text and "Traceback" not in text
    command = shlex.split(re.search(r"^replay: (.*)$", text, re.MULTILINE)[1])
    assert command[:4] == ["icgd", "verify", "relu-icgd", "--replay"]
    saved = Counterexample.load(pytester.path / command[4])
    assert saved.error > saved.allowed and saved.problem.N == 1


def test_a_small_problem_passes(run):
    result = run("--icgd", f"{SMALL} certify", "-k", "relu-icgd")
    assert result.ret == 0
    assert re.search(r"^relu-icgd/lean/step-error +proved ", result.stdout.str(), re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("N=0", "N = 0: a whole number"),
        ("N=0 d=3", "N = 0: a whole number"),
        ("S=0", "S = 0: 2 rationals"),
        ("N=two", "N = two: a value of type int is needed"),
        ("construction=exact", "construction = exact: it is for --activation relu"),
        ("construction=lean activation=relu", "Theorem 1 does not apply"),
        ("construction=wide", "construction = wide: the constructions are lean, paper, exact"),
        ("activation=nonsense(", "activation = nonsense("),
        ("samples=0", "samples = 0: a whole number from 1"),
        ("effort=nan", "effort = nan: a number"),
        ("device=tpu", "device = tpu: it is cpu"),
        ("letter=1", "letter = 1: there is no such letter; the letters are"),
        ("certify=maybe", "certify = maybe: it is a flag"),
        ("activation='t", "No closing quotation"),
        ("theorem=./none.py", "there is no such file"),
    ],
)
def test_an_impossible_option_is_one_sentence(run, options, words):
    result = run("--icgd", options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = result.stderr.str()
    assert words in said
    assert "Traceback" not in said + result.stdout.str()
    assert len(said.strip().splitlines()) == 1


def test_a_letter_that_one_theorem_cannot_take_leaves_it_inapplicable(run):
    both = run("--icgd=d=8 n=16 T=2", "-k", "preconditioned/parameters or looped/parameters", "-rs")
    both.assert_outcomes(passed=1, skipped=1, deselected=both.parseoutcomes()["deselected"])
    both.stdout.fnmatch_lines(["SKIPPED*inapplicable: d = 8: a whole number*"])
    # A run that judged nothing is no success.
    alone = run("--icgd=d=8", "-k", "preconditioned")
    assert alone.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_relu_networks_have_the_exact_construction_alone(run):
    found = collected(run("--icgd=activation=relu", "--collect-only", "-q"))
    relu = {claim for claim in found if claim.startswith("relu-icgd/")}
    assert relu and all(claim.startswith("relu-icgd/exact/") for claim in relu)


def test_a_vacuous_claim_passes_and_says_so(run):
    result = run("--icgd=d=4 n=4 T=2", "-k", "looped/condition")
    result.assert_outcomes(passed=1, deselected=result.parseoutcomes()["deselected"])
    assert re.search(r"^looped/condition +vacuous ", result.stdout.str(), re.MULTILINE)


def test_a_crash_is_shown_and_not_repeated(run, monkeypatch):
    calls = []

    def crash(problem, **_):
        calls.append(problem)
        raise RuntimeError("the sky fell")

    put(monkeypatch, judge=crash)
    result = run("-k", "looped")
    each = len(find_theorem("looped").judged) + 1  # every claim, and that each is tested
    result.assert_outcomes(failed=each, deselected=result.parseoutcomes()["deselected"])
    assert len(calls) == 1
    result.stdout.fnmatch_lines(["looped could not be verified", "*RuntimeError: the sky fell"])


@pytest.mark.parametrize("change", ["one less", "one more"])
def test_the_catalogue_must_list_the_claims_that_are_judged(run, monkeypatch, change):
    listed = find_theorem("looped").judged
    other = listed[1:] if change == "one less" else (*listed, "another")
    put(monkeypatch, judged=other)
    result = run("-k", "test_each_claim_is_tested and looped")
    assert result.ret == 1
    words = "listed but not judged: *another" if change == "one more" else "not listed*: *looped/steps"
    result.stdout.fnmatch_lines([f"*{words}*"])


def test_a_theorem_may_not_judge_a_claim_twice(run, monkeypatch):
    def twice(problem, **options):
        found = icgd.verify.looped.verify(problem, **options)
        return replace(found, verdicts=(*found.verdicts, found.verdicts[0]))

    put(monkeypatch, judge=twice)
    result = run("-k", "test_each_claim_is_tested and looped")
    result.stdout.fnmatch_lines(["*two of its verdicts are on the same claim*"])


def test_each_theorem_is_a_suite_and_strict_fails_what_is_vacuous_or_open(run, pytester):
    """Two theorems and the findings; by sqrt 2 < sqrt 1 + 2 a bound is infinite, and one finding is open."""
    claims = ("--pyargs", "icgd.verify.test_catalogue", "icgd.verify.test_findings")
    chosen = "looped/condition or looped/parameters or lean/layers or omega-constant or two_things"
    pytester.makepyfile(test_mine="def test_two_things(): pass")
    for strict, failed in (("strict=false", 0), ("strict", 2)):
        options = ("--icgd", f"{SMALL} seed=3 {strict}", "-k", chosen, "--junitxml=v.xml")
        result = run(*options, files=(*claims, "test_mine.py"))
        result.assert_outcomes(passed=5 - failed, failed=failed)
        suites = {one.get("name"): one for one in ET.parse(pytester.path / "v.xml").iter("testsuite")}
        counts = {
            name: [int(one.get(what)) for what in ("tests", "failures", "errors", "skipped")]
            for name, one in suites.items()
        }
        some = failed // 2
        assert counts == {
            "looped": [2, some, 0, 0], "relu-icgd": [1, 0, 0, 0], "findings": [1, some, 0, 0],
            "pytest": [1, 0, 0, 0],
        }  # fmt: skip
        assert sum(len(one.findall("testcase")) for one in suites.values()) == 5
        told = {one.get("name"): one.get("value") for one in suites["looped"].find("properties")}
        assert told.keys() == {"seed", "version", "letters"} and told["seed"] == "3"
        assert told["version"] == release() and told["letters"].startswith("d=1 n=2 T=10 eta=")
        assert suites["findings"].find("properties") is None
    assert run("--icgd", "strict=perhaps").ret == pytest.ExitCode.USAGE_ERROR


def test_another_repository_can_have_its_own_verdicts_judged(run, pytester):
    pytester.makepyfile(
        test_mine="""
        from icgd.verify.verdict import Verdict, count_claims

        def test_kept(icgd_judge):
            width = Verdict("mine/width", "inapplicable", "none")
            icgd_judge(Verdict("mine/heads", "held", "12 of 12"), width)

        def test_broken(icgd_judge):
            icgd_judge(Verdict("mine/norm", "failed", "13 of 12", replay="python mine.py"))
        """
    )
    result = run(files=["test_mine.py"])
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["mine/norm: 13 of 12", "replay: python mine.py"], consecutive=True)
    result.stdout.fnmatch_lines(["3 claims of the papers as stated: 1 held, 1 failed, 1 inapplicable"])


def test_a_transformer_of_ones_own_is_judged_by_a_test(run, pytester):
    tensors, metadata = layers_by_hand(N=1, K=1, eps=0.3, room=1e-12)
    save_file(tensors, pytester.path / "mine.safetensors", metadata)
    pytester.makepyfile(
        test_model="""
        import icgd, pytest

        @pytest.mark.parametrize("factor", [1, 2])
        def test_it_is_a_step_of_descent(icgd_judge, factor):
            usual = icgd.judge("mine.safetensors", samples=1, effort=0).problem
            problem = icgd.Problem.parse(usual.as_dict() | {"eta": factor * usual.eta})
            icgd_judge(icgd.judge("mine.safetensors", problem, samples=100, effort=0))
        """
    )
    result = run(files=["test_model.py"])
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["judge/step-error: norm2(err) of one step*moves 0.* times -eta grad*"])


def test_a_test_that_asserts_nothing_fails(run, pytester):
    pytester.makepyfile(
        test_empty="""
        def test_nothing(icgd_judge):
            icgd_judge()

        def test_a_path(icgd_judge):
            icgd_judge("model.safetensors")
        """
    )
    result = run(files=["test_empty.py"])
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*nothing was claimed*", "*takes verdicts, or what icgd.judge returns, not str*"]
    )


def test_the_plugin_alone_changes_nothing(run, pytester):
    pytester.makepyfile("def test_nothing(): pass")
    result = run(files=[])
    result.assert_outcomes(passed=1)
    assert "claims" not in result.stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [[], ["--dist=worksteal"]], ids=["load", "worksteal"])
def test_workers_share_one_verification(run, pytester, mode):
    counts = pytester.path / "counts"
    pytester.makeconftest(COUNTED.format(path=str(counts)) + (WRONG if not mode else ""))
    result = run(*POSED, "-k", "looped", "-n2", *mode, "-v", "--junitxml=verdicts.xml")
    assert counts.read_text().split() == ["once"]
    assert len(cases(pytester.path / "verdicts.xml")) == 9
    workers = set(re.findall(r"\[(gw\d)\].*test_claim\[looped", result.stdout.str()))
    result.stdout.fnmatch_lines(
        [
            "looped/steps *",
            "looped/examples-before *",
            "3 claims of the papers as stated*",
            "3 claims of the papers as repaired or made explicit here*",
            "2 claims of icgd*",
        ]
    )
    if mode:
        assert result.ret == 0 and workers == {"gw0", "gw1"}
    else:
        assert result.ret == 1 and len(workers) == 1
        result.stdout.fnmatch_lines([f"replay: icgd verify looped {PROBLEM.options} --seed 0"])


def test_verdicts_survive_the_way_between_workers():
    failed = Verdict("a/b", "failed", "1 < 2", "icgd verify a")
    by_balls = Verdict("a/c", "proved", "é", means="balls", about="icgd")
    found = Found({"a/b": failed, "a/c": by_balls}, "crash")
    assert Found.from_json(found.as_json()) == found


def test_letters_go_to_the_theorems_that_have_them():
    problems = {one.name: one.problem for one in all_requests({"N": 2, "d": 3, "T": 4, "S": "1"})}
    assert list(problems) == ["relu-icgd/lean", "relu-icgd/paper", *list(theorems())[1:]]
    assert problems["relu-icgd/lean"] == problems["convergence"] == Problem(N=2, d=3)
    assert problems["looped"] == LoopedProblem(d=3, T=4)
    assert problems["preconditioned"] == PreconditionedProblem(d=3, S="1")
    with pytest.raises(ProblemError, match="letter = 1: there is no such letter"):
        all_requests({"letter": 1})
