"""The order of a model's layers as models.csv writes it: 'LD*3 LE*58', '(WE AE)*18', 'S E S E S A E'.

A layer is a mixer, a feed-forward or both. Mixers: A attention, W attention within the window, L latent attention,
S state space, C0 C4 C128 compressed attention (of so many positions; 0: the window alone). Feed-forwards: D dense, with
a width of its own where one follows (D7168), E experts. `*n` repeats a layer or a group in parentheses.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\(|\)(?:\*(\d+))?|([AWLS]|C\d+)?([DE]\d*)?(?:\*(\d+))?\s*")


def parse_pattern(text: str) -> list[str]:
    """Every layer's letters in order: '(WE AE)*2' -> ['WE', 'AE', 'WE', 'AE']. Raises ValueError on anything else."""
    groups: list[list[str]] = [[]]
    at = 0
    text = text.strip()
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if not match or not match[0].strip():
            raise ValueError(
                f"layer pattern {text!r}: {text[at:]!r} is no layer; a layer is such as AD, LE*58 or (WE AE)*18"
            )
        at = match.end()
        if match[0] == "(":
            groups.append([])
        elif match[0].startswith(")"):
            if len(groups) == 1:
                raise ValueError(f"layer pattern {text!r}: a parenthesis closes that was not opened")
            inner = groups.pop()
            groups[-1] += inner * int(match[1] or 1)
        else:
            groups[-1] += [(match[2] or "") + (match[3] or "")] * int(match[4] or 1)
    if len(groups) > 1:
        raise ValueError(f"layer pattern {text!r}: a parenthesis is not closed")
    if not groups[0]:
        raise ValueError("a layer pattern is empty; it names at least one layer, such as AD*32")
    return groups[0]
