"""Sizes and errors of the models in the zoo, kept in a file, so that `icgd zoo` lists them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import MappingProxyType

from icgd.construct.machine.files import write_atomically
from icgd.verify.zoo.built_model import ZooSize, build_model
from icgd.verify.zoo.models import ZOO

_FILE = Path(__file__).with_name("sizes.json")


@cache
def zoo_sizes() -> Mapping[str, ZooSize]:
    """The sizes and errors by the names of the models; a test builds each of them and compares."""
    stored = json.loads(_FILE.read_text(encoding="utf-8"))
    return MappingProxyType({name: ZooSize(**size) for name, size in stored.items()})


def main() -> None:
    """Build all models and write the file again: `python -m icgd.verify.zoo.sizes`."""
    lines = (
        f"{json.dumps(name)}: {json.dumps(asdict(build_model(model).size))}" for name, model in ZOO.items()
    )
    write_atomically(_FILE, "{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
