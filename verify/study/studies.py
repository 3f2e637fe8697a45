"""The studies, by name."""

from __future__ import annotations

from collections.abc import Mapping

from icgd.bounds.letters import ProblemError
from icgd.verify.study.icl_networks import ICL_NETWORKS
from icgd.verify.study.study import Study

STUDIES: Mapping[str, Study] = {one.name: one for one in (ICL_NETWORKS,)}
"""Every study; a new one is a `Study` in a module of its own, named here."""


def find_study(name: str) -> Study:
    """The study of that name; raises ProblemError for another."""
    if name not in STUDIES:
        raise ProblemError("study", name, f"the studies are {', '.join(STUDIES)}")
    return STUDIES[name]
