"""The table of the zoo: which models it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from icgd.bounds.letters import Letters, ProblemError
from icgd.verify.catalogue import find_theorem
from icgd.verify.theorem import Theorem


@dataclass(frozen=True)
class ZooModel:
    """One model: of which theorem, for which letters.

    letters: those that are not at their defaults.  construction: of a theorem that has several.
    exact: the claim, proved in exact arithmetic, by which its steps are those of descent; None where a
    certificate bounds the error of a step.  says: what it does, in one sentence.
    """

    name: str
    theorem: str
    letters: Mapping[str, int | float | str]
    says: str
    construction: str | None = None
    exact: str | None = None

    @property
    def of(self) -> Theorem:
        """Its theorem."""
        return find_theorem(self.theorem)

    def problem(self) -> Letters:
        """The problem that it solves."""
        return self.of.letters.parse(self.letters)

    def options(self) -> str:
        """Its letters as options of a command."""
        return " ".join(f"--{name} {value}" for name, value in self.letters.items())

    def posed(self) -> str:
        """Its theorem and its letters, for a person."""
        return " ".join([self.theorem, *(f"{name}={value}" for name, value in self.letters.items())])


ZOO: Mapping[str, ZooModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            ZooModel(
                "softmax-1",
                "softmax-icgd",
                {"N": 1, "d": 2, "n": 4, "eps": 0.05},
                "softmax attention and MLPs descend on one layer tanh(V x)",
                construction="softmax",
            ),
            ZooModel(
                "softmax-2",
                "softmax-icgd",
                {"N": 2, "K": 2, "d": 1, "n": 4, "eps": 0.1},
                "softmax attention and MLPs descend on two layers, backpropagation included",
                construction="softmax",
            ),
            ZooModel(
                "relu-1",
                "relu-icgd",
                {"N": 1, "d": 2, "n": 4, "eps": 0.01},
                "ReLU attention descends on one layer tanh(V x)",
                construction="lean",
            ),
            ZooModel(
                "relu-2",
                "relu-icgd",
                {"N": 2, "K": 2, "d": 1, "n": 4, "eps": 0.02},
                "ReLU attention descends on two layers, backpropagation included",
                construction="lean",
            ),
            ZooModel(
                "relu-3",
                "relu-icgd",
                {"N": 3, "eps": 0.05},
                "ReLU attention descends on three layers, backpropagation included",
                construction="lean",
            ),
            ZooModel(
                "classifier",
                "relu-icgd",
                {"N": 2, "K": 2, "d": 2, "n": 4, "eps": 0.05, "loss": "logistic", "output": "linear"},
                "ReLU attention descends on a classifier with one hidden layer and the logistic loss",
                construction="lean",
            ),
            ZooModel(
                "paper-2",
                "relu-icgd",
                {"N": 2, "K": 2, "d": 1, "n": 4, "eps": 0.1},
                "ReLU attention in the layers of the paper, where heads do what hidden units do in relu-2",
                construction="paper",
            ),
            ZooModel(
                "looped",
                "looped",
                {"d": 2, "n": 8},
                "one layer of linear attention, to be looped: a loop is a step on least squares",
                exact="looped/steps",
            ),
            ZooModel(
                "preconditioned",
                "preconditioned",
                {"d": 2, "n": 10, "L": 3},
                "three layers of linear attention, each a step, of the lengths that are best on average",
                exact="preconditioned/lemma-1",
            ),
        )
    }
)
"""The models by name."""


def zoo_model(name: str) -> ZooModel:
    """The model of that name; raises ProblemError without one."""
    if name not in ZOO:
        raise ProblemError("model", name, f"the zoo has {', '.join(ZOO)}")
    return ZOO[name]
