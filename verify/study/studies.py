"""The studies, by name."""

from __future__ import annotations

from collections.abc import Mapping

from icgd.bounds.letters import ProblemError
from icgd.verify.study.icl_networks import ICL_NETWORKS
from icgd.verify.study.kernel_matching import KERNEL_MATCHING
from icgd.verify.study.loops_against_examples import LOOPS_AGAINST_EXAMPLES
from icgd.verify.study.preconditioned_training import PRECONDITIONED_TRAINING
from icgd.verify.study.study import Study

STUDIES: Mapping[str, Study] = {
    one.name: one for one in (ICL_NETWORKS, PRECONDITIONED_TRAINING, KERNEL_MATCHING, LOOPS_AGAINST_EXAMPLES)
}
"""Every study; a new one is a `Study` in a module of its own, named here."""


def find_study(name: str) -> Study:
    """The study of that name; raises ProblemError for another."""
    if name not in STUDIES:
        raise ProblemError("study", name, f"the studies are {', '.join(STUDIES)}")
    return STUDIES[name]
