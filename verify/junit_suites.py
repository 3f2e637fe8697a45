"""JUnit XML with one suite for each theorem, made from the single suite that pytest writes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from icgd.construct.machine.files import write_atomically

SUITE = "suite"
"""The property of a test that names its suite; tests without it stay in the suite of pytest."""


def split_suites(path: Path, about: Mapping[str, Mapping[str, str]]) -> None:
    """Write the file again with the tests of each suite together, under what is known about the suite.

    about: name of a suite -> its properties.  A file that has no test with a suite stays as it is.
    """
    root = ET.parse(path).getroot()
    whole = root.find("testsuite")
    if whole is None or len(root.findall("testsuite")) > 1:
        return
    usual, cases = whole.get("name", "pytest"), dict[str, list[ET.Element]]()
    for case in whole.findall("testcase"):
        named = (one.get("value", "") for one in case.iter("property") if one.get("name") == SUITE)
        cases.setdefault(next(named, usual), []).append(case)
    if not cases.keys() - {usual}:
        return
    for name, found in cases.items():
        made = ET.SubElement(root, "testsuite", whole.attrib | {"name": name} | _counts(found))
        if properties := about.get(name, {}):
            told = ET.SubElement(made, "properties")
            for one, value in properties.items():
                ET.SubElement(told, "property", name=one, value=value)
        made.extend(found)
    rest = [child for child in whole if child.tag != "testcase"]
    root.remove(whole)
    root.extend(rest)
    ET.indent(root, " ")
    write_atomically(path, ET.tostring(root, "utf-8", xml_declaration=True))


def _counts(cases: list[ET.Element]) -> dict[str, str]:
    """How many tests there are, and how many of them ended how, as JUnit counts them."""
    ended = {"errors": "error", "failures": "failure", "skipped": "skipped"}
    counts = {name: sum(case.find(tag) is not None for case in cases) for name, tag in ended.items()}
    seconds = sum(float(case.get("time", 0)) for case in cases)
    told = {name: str(count) for name, count in counts.items()}
    return told | {"tests": str(len(cases)), "time": f"{seconds:.3f}"}
