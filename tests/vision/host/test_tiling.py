from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.vision.host.conftest import encoded, noise
from vision.errors import InvalidArgument
from vision.host.tiling import cut, grid, normalised


def reference_grid(width: int, height: int, most: int, side: int) -> tuple[int, int]:
    """The rule as the reference's README writes it down: nearest proportions, larger on a tie if there is area for it.

    Grids of equal size are tried in the order of a sorted list of all of them, columns first.
    """
    grids = sorted({(i, j) for n in range(1, most + 1) for i in range(1, n + 1) for j in range(1, n + 1)})
    grids = sorted((g for g in grids if 1 <= g[0] * g[1] <= most), key=lambda g: g[0] * g[1])
    best, least = (1, 1), float("inf")
    for candidate in grids:
        difference = abs(width / height - candidate[0] / candidate[1])
        if difference < least:
            least, best = difference, candidate
        elif difference == least and width * height > 0.5 * side * side * candidate[0] * candidate[1]:
            best = candidate
    return best


def sizes(count: int) -> list[tuple[int, int]]:
    """Random sizes, and those where the rule has to break a tie."""
    random = np.random.default_rng(11)
    ties = [(5 * k, 4 * k) for k in range(20, 400, 3)] + [(k, k) for k in range(100, 2000, 7)]
    return [*ties, *((int(w), int(h)) for w, h in random.integers(16, 4500, (count, 2)))]


def test_grids_are_the_references_for_many_sizes_and_bounds() -> None:
    tried = 0
    for most in (1, 2, 6, 12, 18, 24, 40):
        for width, height in sizes(1500):
            tried += 1
            assert grid(width, height, most) == reference_grid(width, height, most, 448), (width, height, most)
    assert tried >= 10_000


def test_grids_are_those_of_transformers() -> None:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    for most in (1, 6, 12, 24):
        for width, height in sizes(2500):
            theirs = get_optimal_tiled_canvas((height, width), (448, 448), 1, most)
            assert grid(width, height, most) == theirs, (width, height, most)


def test_a_picture_of_4096_pixels_a_side_is_cut_without_being_made_smaller() -> None:
    columns, rows = grid(4096, 4096, 100)
    assert columns * 448 >= 4096 and rows * 448 >= 4096


@pytest.mark.parametrize(("width", "height", "most"), [(300, 200, 12), (64, 900, 12), (500, 500, 12), (200, 150, 1)])
def test_pixel_values_are_those_of_transformers_pil_processor(width: int, height: int, most: int) -> None:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    picture = noise(width, height)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    size = {"height": 112, "width": 112}
    theirs = GotOcr2ImageProcessorPil(size=size, image_mean=mean, image_std=std, crop_to_patches=True, max_patches=most)
    expected = theirs(Image.open(io.BytesIO(picture)), return_tensors="np")["pixel_values"]
    found = normalised(cut(picture, most, 112).pixels)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-6


def test_tiles_come_row_by_row_and_the_thumbnail_last() -> None:
    colors = np.arange(6, dtype=np.uint8) * 40
    pixels = np.repeat(np.repeat(colors.reshape(2, 3), 112, axis=0), 112, axis=1)
    tiles = cut(encoded(np.stack([pixels] * 3, axis=-1)), 6, 112)
    assert [int(tile[56, 56, 0]) for tile in tiles.pixels[:6]] == colors.tolist()
    assert len(tiles) == 7
    assert int(tiles.pixels[6][20, 20, 0]) < int(tiles.pixels[6][90, 90, 0])


def test_a_picture_of_one_tile_has_no_thumbnail() -> None:
    assert len(cut(noise(100, 100), 1, 112)) == 1


def test_equal_tiles_have_equal_digests_and_others_not() -> None:
    plain = np.full((112, 224, 3), 90, dtype=np.uint8)
    left, right, thumbnail = cut(encoded(plain), 2, 112).digests
    assert left == right == thumbnail
    assert cut(noise(224, 112), 2, 112).digests[0] != left


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="cannot be decoded"):
        cut(b"no picture", 12, 448)


def test_only_formats_that_run_nothing_are_opened() -> None:
    """Pillow draws a PostScript file by running another program."""
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with Image.open(io.BytesIO(page)) as opened:
        assert opened.format == "EPS"
    with pytest.raises(InvalidArgument):
        cut(page, 1, 448)
