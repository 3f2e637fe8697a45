"""Writes the benchmark set: networks, properties, certificates, counterexamples, and the known answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from icgd.bounds.letters import ProblemError
from icgd.bounds.progress import Progress, silent
from icgd.construct.exports.onnx_graph import onnx_library
from icgd.construct.machine.files import check_writable, regular_file, write_atomically
from icgd.construct.machine.folders import LISTED, check_folder, replacing
from icgd.construct.machine.json_files import load_json
from icgd.verify.benchmark_set.certified_networks import CERTIFIED_NETWORKS, CertifiedNetwork
from icgd.verify.benchmark_set.claims import claim_text, judge_input
from icgd.verify.benchmark_set.error_network import write_error_network
from icgd.verify.benchmark_set.instances import KnownInstance, instances, planted_blocks
from icgd.verify.benchmark_set.property_text import read_property
from icgd.verify.certificate.issue import certificate_text

KNOWN = "known.json"
"""The file with what is known of every network and instance."""

SET_FILES: Mapping[str, tuple[str, ...]] = {
    "": (KNOWN, "instances.csv", LISTED),
    "networks": ("*.onnx",),
    "properties": ("*.vnnlib",),
    "certificates": ("*.json",),
    "counterexamples": ("*.txt",),
}
"""Folders within the set -> the names of the files that are written there, as patterns."""

SECONDS = 300
"""The time that a verifier is given for an instance, in the list that VNN-COMP reads."""


def network_path(folder: Path, name: str) -> Path:
    """Where a network is within the set."""
    return folder / "networks" / f"{name}.onnx"


def property_path(folder: Path, name: str) -> Path:
    """Where the property of an instance is within the set."""
    return folder / "properties" / f"{name}.vnnlib"


def write_benchmark_set(
    folder: Path, names: Iterable[str] = tuple(CERTIFIED_NETWORKS), progress: Progress = silent
) -> dict[str, Any]:
    """Write all instances about these certified networks; returns what is known of networks and instances.

    Every certificate is checked, every counterexample is judged on the written files; raises ProblemError
    where one is not what it should be.  The folder is replaced as a whole.
    """
    onnx_library()
    check_folder(folder)
    check_writable(folder / KNOWN, folder)
    chosen = list(names)
    with replacing(folder) as new, progress("benchmark set", 2 * len(chosen)) as advance:
        made = {}
        for name in chosen:
            made[name] = CertifiedNetwork.make(name)
            advance(1)
        for name, one in made.items():
            said = one.block.declaration
            write_error_network(network_path(new, name), one.block.tensors, said, one.problem)
            write_atomically(new / "certificates" / f"{name}.json", certificate_text(one.certificate))
        for name, (of, planted) in planted_blocks(made).items():
            path = network_path(new, name)
            write_error_network(path, planted.tensors, planted.declaration, made[of].problem)
        written = [_write_instance(new, one) for one in instances(made)]
        known = {"networks": {name: _about(one) for name, one in made.items()}, "instances": written}
        listed = [
            f"networks/{one['network']}.onnx,properties/{one['name']}.vnnlib,{SECONDS}\n" for one in written
        ]
        write_atomically(new / "instances.csv", "".join(listed))
        write_atomically(new / KNOWN, json.dumps(known, indent=1, allow_nan=False) + "\n")
        advance(len(chosen))
    return known


def _about(one: CertifiedNetwork) -> dict[str, Any]:
    """What is proved and known of a network: bounds on norm2(E), with room, and an entry that is reached."""
    return {
        "construction": one.construction,
        "problem": one.stated.as_dict(),
        "bound": one.norm_least,
        "found": one.largest_entry(one.worst_input),
    }


def known_instance(folder: Path, name: str) -> dict[str, Any]:
    """What the set in a folder knows of an instance; raises ProblemError for one that is not there."""
    known = load_json(folder / KNOWN, "out")
    texts = ("name", "network", "answer", "sha256", "property_sha256")
    try:
        found = {str(one["name"]): dict(one) for one in known["instances"]}
        fits = all(isinstance(one[text], str) for one in found.values() for text in texts)
    except (LookupError, TypeError, ValueError):
        fits = False
    if not fits:
        why = "its known.json is not one that this icgd benchmark-set wrote; write the set again"
        raise ProblemError("out", folder, why)
    if name not in found:
        raise ProblemError("instance", name, f"the instances are {', '.join(found)}")
    return found[name]


def check_files(folder: Path, known: Mapping[str, Any]) -> None:
    """Raises ProblemError where network or property of an instance are not the files that were written."""
    held = {
        "sha256": network_path(folder, known["network"]),
        "property_sha256": property_path(folder, known["name"]),
    }
    for name, path in held.items():
        found = hashlib.sha256()
        with regular_file(path, "out") as file:
            for part in iter(partial(file.read, 1 << 20), b""):
                found.update(part)
        if found.hexdigest() != known[name]:
            why = f"its sha256 is not the one in {KNOWN}, so nothing is known of it; write the set again"
            raise ProblemError("out", path, why)


def _write_instance(folder: Path, one: KnownInstance) -> dict[str, Any]:
    path, network = property_path(folder, one.name), network_path(folder, one.network)
    write_atomically(path, one.text)
    found: dict[str, Any] = {
        "name": one.name,
        "network": one.network,
        "type": one.kind,
        "answer": one.answer,
        "why": one.why,
        "sha256": hashlib.sha256(network.read_bytes()).hexdigest(),
        "property_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    about = read_property(path)
    if one.counterexample is not None:
        judged = judge_input(network, about, one.counterexample)
        if not judged.accepted:
            raise ProblemError("counterexample", one.name, f"it is not one here: {judged.said}")
        text = claim_text(one.counterexample, judged.computed)
        write_atomically(folder / "counterexamples" / f"{one.name}.txt", text)
        found |= {"judged": judged.said, "over_reals": judged.over_reals is True}
    return found
