"""JSON that a command wrote held against its schema, which is closed, by an independent validator."""

import json
from functools import cache

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from icgd.reports.document.schema_files import schema_text


@cache
def _validator(name):
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def undocumented(name, document):
    """The first place where a document is not what its schema says; None where it is."""
    wrong = best_match(_validator(name).iter_errors(document))
    return wrong and f"{'/'.join(map(str, wrong.absolute_path))}: {wrong.message[:300]}"


def as_documented(name, text):
    """What the text of a command's JSON holds; it must be what the schema of that name says."""
    document = json.loads(text)
    assert undocumented(name, document) is None, undocumented(name, document)
    return document
