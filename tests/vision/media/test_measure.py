from __future__ import annotations

import numpy as np
import pytest

from vision.media.colors import color_name, to_lab
from vision.media.measure import measure


def canvas(color: tuple[int, int, int], height: int = 300, width: int = 400) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
        ((128, 128, 128), "grey"),
        ((255, 0, 0), "red"),
        ((0, 128, 0), "green"),
        ((30, 100, 220), "blue"),
        ((0, 0, 128), "dark blue"),
        ((255, 165, 0), "orange"),
        ((255, 255, 0), "yellow"),
        ((128, 0, 128), "purple"),
        ((255, 192, 203), "pink"),
        ((139, 69, 19), "brown"),
        ((0, 255, 255), "cyan"),
    ],
)
def test_colours_get_their_everyday_names(rgb, name):
    assert color_name(rgb) == name


def test_lab_agrees_with_published_values():
    # Bruce Lindbloom's calculator, sRGB, D65.
    expected = [(53.24, 80.09, 67.20), (87.73, -86.18, 83.18), (32.30, 79.19, -107.86), (100, 0, 0)]
    got = to_lab(np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], np.uint8))
    assert np.allclose(got, expected, atol=0.05)


def test_flat_colours_come_back_exactly_with_their_shares():
    rgb = canvas((250, 250, 250))
    rgb[:150, :200] = (200, 30, 40)
    rgb[200:, 300:] = (20, 90, 180)
    facts = measure(rgb)
    assert [(c.hex, c.name) for c in facts.dominant_colors] == [
        ("#fafafa", "white"),
        ("#c81e28", "red"),
        ("#145ab4", "blue"),
    ]
    assert [c.share for c in facts.dominant_colors] == pytest.approx([0.667, 0.25, 0.083], abs=0.002)
    assert not facts.greyscale and not facts.blank


def test_a_blank_page_is_blank_and_one_dot_ends_that():
    rgb = canvas((255, 255, 255))
    facts = measure(rgb)
    assert facts.blank and facts.greyscale
    assert facts.content_box is None and facts.background is not None and facts.background.share == 1.0
    assert (facts.brightness, facts.contrast, facts.sharpness, facts.edge_share) == (1.0, 0.0, 0.0, 0.0)
    rgb[123, 45] = 0
    assert not measure(rgb).blank
    assert measure(rgb).content_box == (45, 123, 46, 124)


def test_the_content_box_is_in_original_pixels():
    rgb = canvas((0, 0, 0))
    rgb[50:100, 80:200] = 255
    assert measure(rgb).content_box == (80, 50, 200, 100)
    assert measure(rgb, scale=0.5, origin=(1000, 2000)).content_box == (1160, 2100, 1400, 2200)


def test_a_photo_has_no_background():
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    facts = measure(noise)
    assert facts.background is None and facts.content_box is None
    assert facts.sharpness > 100 and facts.edge_share > 0.5


def test_brightness_and_contrast_are_those_of_the_pixels():
    rgb = canvas((51, 51, 51))
    rgb[:, 200:] = 204
    facts = measure(rgb)
    assert facts.brightness == pytest.approx(0.5, abs=0.003)
    assert facts.contrast == pytest.approx(0.6, abs=0.003)
    assert facts.greyscale


def test_blur_lowers_sharpness():
    rgb = canvas((0, 0, 0))
    rgb[::8] = 255
    soft = (rgb.astype(int) + np.roll(rgb, 1, 0) + np.roll(rgb, 2, 0) + np.roll(rgb, 3, 0)) // 4
    assert measure(soft.astype(np.uint8)).sharpness < measure(rgb).sharpness / 2


def test_cells_say_what_is_where():
    rgb = canvas((255, 255, 255), 300, 300)
    rgb[:100, :100] = (255, 0, 0)
    rgb[200:, 200:][::2] = 0
    facts = measure(rgb)
    cells = {(cell.row, cell.column): cell for cell in facts.cells}
    assert len(cells) == 9
    assert cells[0, 0].color == "red" and cells[1, 1].color == "white"
    assert cells[2, 2].detail > 0.9 and cells[1, 1].detail == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 2), (257, 3)])
def test_tiny_pictures_are_measured_too(shape):
    facts = measure(canvas((10, 20, 30), *shape))
    assert facts.blank and len(facts.cells) == 9


def test_bands_leave_no_seams():
    rgb = np.random.default_rng(1).integers(0, 256, (700, 90, 3), np.uint8)
    luma = ((rgb.astype(int) @ np.array([77, 150, 29])) >> 8).astype(int)
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    edges = np.zeros(luma.shape, bool)
    edges[:, :-1] |= abs(np.diff(luma, axis=1)) > 32
    edges[:-1] |= abs(np.diff(luma, axis=0)) > 32
    facts = measure(rgb)
    assert facts.sharpness == pytest.approx(laplacian.std(), abs=0.06)
    assert facts.edge_share == pytest.approx(edges.mean(), abs=1e-4)
