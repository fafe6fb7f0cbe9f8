"""Mutating bodies and bytes, so that decoders meet what no client would send."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from typing import Any, Final

NASTY_VALUES: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2**31, 2**63, -(2**64), 10**30, 0.5, 1e308, "", "a", "\0", "x" * 5000, [], {}, [[]], {"a": None},
    "data:;base64,", "https://", [None], {"type": "text"}, {"role": "user"}, "stop", "function",
)  # fmt: skip
NASTY_BYTES: Final[tuple[bytes, ...]] = (
    b"NaN", b"-Infinity", b"1e999", b"\\ud800", b"\\udfff\\ud800", b"\xff", b"\xed\xa0\x80", b"\0", b'"', b"\\", b"{",
    b"[" * 2000, b'{"a":' * 1500, b"9" * 4400, b'"model":"x",', b"\r\n", b"\n\n", b"data: ", b"data: [DONE]\n\n",
    b": x\n\n", b"\r", b",,",
)  # fmt: skip


def mutate_tree(rng: random.Random, tree: Any) -> Any:
    """A copy with one to three places replaced, removed or doubled."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.randint(1, 3)):
        node = tree
        while isinstance(node, dict | list) and node:
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            if not isinstance(node[key], dict | list) or rng.random() < 0.3:
                action = rng.random()
                if action < 0.6:
                    node[key] = deepcopy(rng.choice(NASTY_VALUES))
                elif action < 0.8:
                    del node[key]
                elif isinstance(node, dict):
                    node[rng.choice(["role", "type", "content", "x"])] = node[key]
                else:
                    node.append(node[key])
                break
            node = node[key]
    return tree


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        action = rng.randrange(5)
        if action == 0 and out:
            out[at % len(out)] = rng.randrange(256)
        elif action == 1:
            del out[at : at + rng.randint(1, 12)]
        elif action == 2:
            out[at:at] = out[rng.randrange(len(out) + 1) :][: rng.randint(1, 40)]
        else:
            out[at:at] = rng.choice(NASTY_BYTES)
    return bytes(out)


def body_of(rng: random.Random, tree: Any) -> bytes:
    roll = rng.random()
    if roll < 0.05:
        return rng.randbytes(rng.randrange(300))
    data = json.dumps(mutate_tree(rng, tree) if roll < 0.6 else tree, ensure_ascii=rng.random() < 0.5).encode()
    return mutate_bytes(rng, data) if roll > 0.4 else data


def pieces_of(rng: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
