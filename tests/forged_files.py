"""Damage to files, at random but repeatable: what a disk, an editor or a forger may do to one."""

import json
import random

from hypothesis import settings

from icgd import ProblemError

SEED = 20261127

HOSTILE = (
    None, True, 0, -1, 5, 2.5, 1e-300, 1e300, 2**63, 10**400, -(10**400), "", "softmax", "nan", "inf", "lean",
    "\x1b[31mred\x1b[0m", "\u202etxt", "a\nb", "\x00", "../../etc/passwd", "$(x)", [], {}, [[]], [[[0.5]]],
    {"a": 1}, [1, "a"], ["\x1b[2J"], "9" * 500,
)  # fmt: skip
"""Values that are put in place of honest ones."""

_DEEP = '{"a":' * 60 + "1" + "}" * 60
_WORDS = (
    b"NaN",
    b"Infinity",
    b"1e999",
    b"\x1b[31m",
    b"\xff\xfe",
    b"\x00",
    b"\r\n",
    b'"',
    b"[[[[",
    _DEEP.encode(),
)


def mutants(data, count, seed):
    """`count` damaged versions of a file, half of them with damaged bytes, half with forged values."""
    rng, parsed = random.Random(seed), json.loads(data) if data[:1] in (b"{", b"[") else None
    for number in range(count):
        yield _forged(parsed, rng) if parsed is not None and number % 2 else _damaged(data, rng)


def _damaged(data, rng):
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(made) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(made):
            made[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del made[at : at + rng.choice((1, 1, 8, len(made) // 3))]
        elif kind == 2:
            made[at:at] = made[at : at + rng.choice((1, 8, 200))]
        elif kind == 3:
            made[at:at] = rng.choice(_WORDS)
        elif kind == 4:
            del made[at:]
        elif at < len(made) and 48 <= made[at] < 58:
            made[at] = rng.randrange(48, 58)
    return bytes(made)


def places(node, way=()):
    """Every place in a JSON value, as the names and indices that lead there."""
    yield way
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, inner in pairs:
        yield from places(inner, (*way, step))


def _forged(parsed, rng):
    made = json.loads(json.dumps(parsed))
    # First which name, then which place below it, so that long lists do not get all the damage.
    way = rng.choice([way for way in places(made) if len(way) in (1, rng.randrange(1, 8))])
    *above, last = way
    node = made
    for step in above:
        node = node[step]
    kind = rng.randrange(6)
    if kind == 0:
        del node[last]
    elif kind == 1 and isinstance(node, dict):
        node[rng.choice(("\x1b[1m", "extra", "N", "claim"))] = rng.choice(HOSTILE)
    elif kind == 2 and isinstance(node[last], int | float) and not isinstance(node[last], bool):
        node[last] = rng.choice((-node[last], node[last] * 1e-9, node[last] * 3, node[last] + 1))
    elif kind == 3 and isinstance(node, dict):
        other = rng.choice(list(node))
        node[last], node[other] = node[other], node[last]
    else:
        node[last] = rng.choice(HOSTILE)
    return json.dumps(made).encode()


def fuzzed(path, data, count, read, refusals=ProblemError):
    """Reads `count` mutants of a file; yields (bytes, what was read) for those that were not refused."""
    longer = 10 if settings.get_current_profile_name() == "fuzz" else 1
    accepted = refused = 0
    for mutant in mutants(data, longer * count, SEED):
        path.write_bytes(mutant)
        try:
            found = read(path)
        except refusals as wrong:
            assert str(wrong).isprintable() and len(str(wrong)) < 1500, str(wrong)
            refused += 1
            continue
        accepted += 1
        yield mutant, found
    assert refused > count / 2 and accepted > 0  # else the damage is too mild or too strong to mean anything
