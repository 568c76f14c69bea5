from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vision.media.tile_grid import TILE_SIDE, Fit, fitted_size, grid

sides = st.integers(20, 8000)
most_tiles = st.integers(1, 12)


@given(sides, sides, most_tiles)
def test_a_picture_stretched_to_its_grid_is_cut_into_that_grid_by_every_higher_number(
    width: int, height: int, most: int
) -> None:
    columns, rows = grid(width, height, most)
    stretched = fitted_size(width, height, "grid", most)
    assert stretched == (columns * TILE_SIDE, rows * TILE_SIDE)
    assert all(grid(*stretched, higher) == (columns, rows) for higher in range(most, 13))


@given(sides, sides, most_tiles)
def test_covering_a_grid_leaves_it_the_same_and_loses_nothing_that_its_tiles_show(
    width: int, height: int, most: int
) -> None:
    columns, rows = grid(width, height, most)
    found = fitted_size(width, height, "cover", most)
    assert grid(*found, most) == (columns, rows)
    assert found == (width, height) or (found[0] >= columns * TILE_SIDE and found[1] >= rows * TILE_SIDE)
    assert found[0] <= width and found[1] <= height


@given(sides, sides, most_tiles, st.sampled_from(("grid", "area")))
def test_the_side_of_a_tile_counts_as_the_picture_s_size_does(width: int, height: int, most: int, fit: Fit) -> None:
    small, large = fitted_size(width, height, fit, most, 112), fitted_size(4 * width, 4 * height, fit, most, 448)
    assert [4 * length for length in small] == pytest.approx(large, abs=4)
    assert fitted_size(1500, 1125, "cover", 12, 112) == (448, 336)


@given(sides, sides, most_tiles)
def test_an_area_holds_no_more_pixels_than_its_tiles(width: int, height: int, most: int) -> None:
    found = fitted_size(width, height, "area", most)
    assert found[0] * found[1] <= 1.6 * most * TILE_SIDE**2
    assume(min(found) > 50)
    assert found[0] / found[1] == pytest.approx(width / height, rel=0.03)


@pytest.mark.parametrize(
    ("size", "fit", "most", "fitted"),
    [
        ((900, 700), "cover", 12, (900, 700)),
        ((6000, 4500), "cover", 12, (1792, 1344)),
        ((900, 700), "grid", 12, (1792, 1344)),
        ((1280, 720), "grid", 1, (448, 448)),
        ((4480, 4480), "area", 1, (448, 448)),
        ((448, 448), "area", 1, (448, 448)),
    ],
)
def test_sizes_are_as_worked_out_by_hand(size: tuple[int, int], fit: str, most: int, fitted: tuple[int, int]) -> None:
    assert fitted_size(*size, fit, most) == fitted  # type: ignore[arg-type]
