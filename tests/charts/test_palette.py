"""The colours of charts: seen on every page, and told apart by people with each kind of colour blindness."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from centime.charts.picture import STYLE, TONES
from centime.serve.pages.page import WEB

Colour = np.ndarray  # linear RGB

# Severity 1 of each: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", IEEE TVCG 15(6), 2009; on linear RGB.
SEEN_AS = {
    "everyone": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
SCHEMES = ("light", "dark")
GROUNDS = {"light": ("#ffffff", "#f9f9f7", "#faf8f4"), "dark": ("#1c1c1a", "#131312", "#151412", "#0d1117")}


def linear(code: str) -> Colour:
    """#rrggbb as linear RGB."""
    values = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour: Colour) -> np.ndarray:
    """CIELAB under D65."""
    relative = XYZ @ np.clip(colour, 0, 1) / np.array([0.9505, 1, 1.089])
    f = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a: Colour, b: Colour) -> float:
    """Of WCAG 2: 1 to 21."""
    darker, brighter = sorted(float(XYZ[1] @ colour) for colour in (a, b))
    return (brighter + 0.05) / (darker + 0.05)


def palette(scheme: str) -> dict[str, Colour]:
    pairs = re.findall(r"--(c\d+|up|down): light-dark\((#\w{6}), (#\w{6})\)", STYLE)
    return {name: linear(both[SCHEMES.index(scheme)]) for name, *both in pairs}


def apart(a: Colour, b: Colour) -> float:
    """How far two colours are, at least, whoever looks: CIE76."""
    return min(float(np.linalg.norm(lab(seen @ a) - lab(seen @ b))) for seen in SEEN_AS.values())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_colour_is_seen_on_every_page(scheme: str) -> None:
    assert len(palette(scheme)) == TONES + 2
    for name, colour in palette(scheme).items():
        for ground in GROUNDS[scheme]:
            assert contrast(colour, linear(ground)) >= 3, (name, ground)  # WCAG 1.4.11, of graphical objects


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_two_colours_look_alike_to_anyone(scheme: str) -> None:
    colours = palette(scheme)
    tones = [colours[f"c{i}"] for i in range(TONES)]
    assert min(apart(a, b) for a, b in itertools.combinations(tones, 2)) > 10
    assert min(apart(a, b) for a, b in itertools.combinations(tones[:6], 2)) > 18  # few charts have more
    assert min(apart(a, b) for a, b in itertools.pairwise(tones)) > 20  # neighbours in a bar of parts
    assert apart(colours["up"], colours["down"]) > 30


def test_the_page_has_no_palette_of_its_own() -> None:
    assert not [path.name for path in WEB.glob("*.css") if re.search(r"--c\d+:", path.read_text())]
