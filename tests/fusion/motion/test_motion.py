import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cpu.row_kernels import NumpyLoops
from livemef.fusion.errors import FusionError
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.method import downscale
from livemef.fusion.method import reference as definition
from livemef.fusion.metrics.ciede2000 import ciede2000
from livemef.fusion.motion import compensation, exposure_synthesis, ghost_mask, intensity_mapping, registration
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, noise, scene

SHARMA = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]
needs_compiled = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")


def grid(height=120, width=200, seed=0):
    """A smooth, textured, coloured picture, encoded 0..1 but for its darkest and brightest tones."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width][..., None] / 40.0
    waves = [np.sin(rng.uniform(1, 6) * x + rng.uniform(1, 6) * y + rng.uniform(0, 6, 3)) for _ in range(5)]
    return (0.35 + 0.06 * sum(waves)).astype(np.float32)


def exposed(picture, ratio):
    return intensity_mapping.at(intensity_mapping.of_light_ratio(ratio).brighter, picture)


def compensations_of(grids, mode, moments):
    """For grids whose cells are pixels."""
    return compensation.at_one_moment(grids, grids[0].shape[:2], 90, mode, moments).compensations


@pytest.mark.parametrize(("first", "second", "difference"), SHARMA)
def test_the_colour_difference_is_the_published_one(first, second, difference):
    assert ciede2000(first, second) == pytest.approx(difference, abs=5e-5)


@given(st.floats(1.2, 200))
def test_a_known_ratio_leads_there_and_back(ratio):
    maps = intensity_mapping.of_light_ratio(ratio)
    values = np.linspace(0.05, 0.6, 50).astype(np.float32)
    brighter = intensity_mapping.at(maps.brighter, values)
    back = intensity_mapping.at(maps.darker, brighter)
    np.testing.assert_allclose(back[brighter < 0.999], values[brighter < 0.999], atol=2e-3)
    assert (np.diff(maps.brighter) >= 0).all()
    assert maps.brighter[-1] == pytest.approx(1)


def test_an_unknown_ratio_is_told_from_the_pictures_even_if_they_moved():
    dark = grid(seed=3)
    bright = np.roll(exposed(dark, 6.0), 17, axis=1)
    found, wanted = intensity_mapping.of_pictures(dark, bright), intensity_mapping.of_light_ratio(6.0)
    values = np.linspace(dark.min(), dark.max(), 30).astype(np.float32)
    np.testing.assert_allclose(
        intensity_mapping.at(found.brighter, values), intensity_mapping.at(wanted.brighter, values), atol=0.01
    )


@given(st.floats(-9, 9), st.floats(-9, 9), st.floats(-0.02, 0.02), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_move_of_the_whole_picture_is_found(dx, dy, turn, reference_is_over):
    whole = grid(160, 260)
    move = Move(dx, dy, turn)
    moved = registration.moved(whole, Move(-dx, -dy, -turn))[20:-20, 20:-20]
    still = whole[20:-20, 20:-20]
    maps = intensity_mapping.of_light_ratio(4.0)
    pair = (exposed(still, 4.0), moved) if reference_is_over else (still, exposed(moved, 4.0))
    found = registration.estimate(*pair, maps, reference_is_over, NumpyLoops())
    if max(abs(dx), abs(dy)) < 1 and abs(turn) < 0.005:
        return  # too small to be sure that undoing it is a gain
    assert found.dx == pytest.approx(dx - turn * dy, abs=0.25)  # undoing shift and turn together, not one by one
    assert found.dy == pytest.approx(dy + turn * dx, abs=0.25)
    assert found.turn == pytest.approx(move.turn, abs=0.002)


def test_borders_are_covered_where_the_other_exposure_ends():
    mask, brighter = np.zeros((20, 30), np.float32), np.full((20, 30, 3), 0.3, np.float32)
    registration.cover_unseen(mask, Move(0.4, -0.4), brighter)
    assert not mask.any()
    registration.cover_unseen(mask, Move(1.6, -0.6), brighter)
    assert mask[0].all()
    assert mask[:, -2:].all()
    assert not mask[1:, :-2].any()


def test_black_borders_are_not_covered_with_the_noise_of_a_darker_exposure():
    mask, brighter = np.zeros((20, 30), np.float32), np.full((20, 30, 3), 0.3, np.float32)
    brighter[-4:] = 5 / 255  # the lower bar of a letterbox
    registration.cover_unseen(mask, Move(2.0), brighter)
    assert mask[:-4, -2:].all()
    assert not mask[-4:].any()


@pytest.mark.parametrize("small_lines", [16, 60, 135])
def test_a_move_is_found_however_small_the_small_picture_is(small_lines):
    whole = grid(200, 320)
    still, moved = whole[10:-10, 10:-10], whole[7:-13, 15:-5]
    shape = compensation.grid_shape(180, 300, small_lines)
    grids = [downscale.mean_cells(picture, *shape) for picture in (still, exposed(moved, 4.0))]
    found = compensation.at_one_moment(grids, (180, 300), small_lines, "global", Moments((1.0, 4.0), 0)).compensations[
        1
    ]
    assert (found.move.dx, found.move.dy) == pytest.approx((-5, 3), abs=0.25)
    assert found.move.turn == pytest.approx(0, abs=0.002)


def test_what_is_still_is_let_be():
    dark = grid() + np.random.default_rng(1).normal(0, 0.004, (120, 200, 3)).astype(np.float32)
    bright = exposed(grid(), 8.0)
    compensations = compensations_of([dark, bright], "full", Moments((1.0, 8.0), 1))
    assert compensations[0].move == NO_MOVE
    assert compensations[0].mask.mean() < 0.01


@pytest.mark.parametrize("reference", [0, 1])
def test_what_moved_is_taken_from_the_reference_and_nothing_else_is(reference):
    dark, bright = grid(), exposed(grid(), 8.0)
    (dark, bright)[1 - reference][40:70, 80:110] = 0.02 if reference else 0.1
    compensations = compensations_of([dark, bright], "full", Moments((1.0, 8.0), reference))
    mask = compensations[1 - reference].mask
    assert mask[45:65, 85:105].min() == 1
    mask[34:76, 74:116] = 0
    assert mask.max() == 0


def test_clipping_is_no_disagreement():
    dark = np.linspace(0.5, 1, 120 * 200 * 3, dtype=np.float32).reshape(120, 200, 3)
    bright = np.ones_like(dark)
    compensations = compensations_of([dark, bright], "full", Moments((1.0, 16.0), 1))
    assert compensations[0].idle


def test_what_moves_decides_which_exposure_is_the_moment():
    bright = grid()
    dark = intensity_mapping.at(intensity_mapping.of_light_ratio(64.0).darker, bright)  # black nearly everywhere
    dark[40:70], bright[40:70] = 0.6, 1.0  # but for a path in the sun, on which somebody walks
    for picture, left in ((dark, 60), (bright, 120)):
        picture[45:65, left : left + 12] = 0.09 if picture is dark else 0.6
    assert compensation.best_exposed([dark, bright]) == 1
    found = compensation.at_one_moment([dark, bright], (120, 200), 90, "full", Moments((1.0, 64.0)))
    assert found.reference == 0


def test_a_saturated_colour_is_no_black_part_of_an_exposure():
    dark, bright = (np.full((120, 200, 3), value, np.float32) for value in (0.4, 0.8))
    dark[:60] = 0.0, 0.02, 0.5  # a red wall
    bright[100:] = 1.0
    assert compensation.best_exposed([dark, bright]) == 0


@pytest.mark.parametrize(("black", "clipped", "best"), [(20, 20, 0), (24, 20, 0), (27, 20, 1)])
def test_a_clipped_part_costs_more_than_a_black_one(black, clipped, best):
    dark, bright = (np.full((120, 200, 3), value, np.float32) for value in (0.4, 0.8))
    dark[:black], bright[-clipped:] = 0.0, 1.0
    assert compensation.best_exposed([dark, bright]) == best


def test_what_is_far_darker_than_in_the_brightest_exposure_is_as_good_as_black():
    lit, dim, bright = (np.full((120, 200, 3), value, np.float32) for value in (0.15, 0.06, 0.6))
    bright[100:] = 1.0
    assert compensation.best_exposed([dim, bright]) == 1
    assert compensation.best_exposed([lit, bright]) == 0


def test_stills_of_unknown_light_have_a_map_for_each_channel():
    dark, gains = grid() * 0.5, np.array([1.3, 1.6, 1.9], np.float32)  # crosstalk: channels do not rise alike
    bright = np.clip(dark * gains, 0, 1)
    bright[50:70, 90:110] = 0.9  # passes
    made = compensations_of([dark, bright], "full", Moments(reference=0))[1]
    assert made.mask[60, 100] == 1
    there = intensity_mapping.at_channels(made.curves, dark[60, 100])
    assert there == pytest.approx(dark[60, 100] * gains, abs=0.02)


@pytest.mark.parametrize("washed_out", [0.2, 0.3, 0.4])
def test_a_clipping_colour_that_a_camera_washes_out_is_no_motion_of_stills(washed_out):
    dark = grid() * 0.5
    dark[:, 100:] *= 0.2  # in shadow
    dark[30:100, 20:70] = 0.04, 0.04, 0.6  # a red pillar
    bright = np.clip(dark * 1.9, 0, 1)
    bright[30:100, 20:70, :2] += np.linspace(0, washed_out, 70, dtype=np.float32)[:, None, None]
    bright[60:90, 120:150] = 0.9  # passes
    made = compensations_of([dark, bright], "full", Moments(reference=0))[1]
    assert made.mask[65:85, 125:145].min() == 1
    assert (made.mask[35:95, 25:65] > 0).mean() < 0.02


def compensation_for(shape, move=NO_MOVE, filled=True, seed=1, grain=0.0):
    rng = np.random.default_rng(seed)
    mask = np.clip(rng.normal(0, 1, shape), 0, 1).astype(np.float32)
    coarse = max(1, shape[0] // 4), max(1, shape[1] // 4), 3
    fill = rng.uniform(0, 1, coarse).astype(np.float32)
    maps = intensity_mapping.of_light_ratio(4.0)
    ratios = (maps.darker if filled else maps.brighter) ** np.array([[0.9], [1.0], [1.1]])  # a curve for each channel
    dim = {"fill": None, "tints": fill, "clear": 0.7, "grain": grain}
    planes = {"fill": fill, "clips_at": 0.93} if filled else dim
    return Compensation(move, mask, ratios, **planes)


@needs_compiled
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (97, 131), (40, 300)])
@pytest.mark.parametrize("move", [NO_MOVE, Move(3.3, -2.6), Move(-500, 1), Move(0.4, 0.2, 0.03)])
@pytest.mark.parametrize(("filled", "grain"), [(True, 0.0), (False, 0.0), (False, 0.2)])
def test_the_compiled_rows_are_within_a_code_of_the_definition(dtype, shape, move, filled, grain):
    reference, other = noise(*shape, dtype, seed=4)
    todo = compensation_for((max(1, shape[0] // 5), max(1, shape[1] // 5)), move, filled, grain=grain)
    out = np.full_like(other, 77)
    rows = CompiledLoops().remake(reference, other, todo, out)
    for top in range(0, shape[0], 7):
        rows(top, min(top + 7, shape[0]))
    wanted = exposure_synthesis.exposure(reference, other, todo)
    assert np.abs(out.astype(int) - wanted).max() <= 1


@needs_compiled
@pytest.mark.parametrize("move", [NO_MOVE, Move(1.7, -0.4), Move(-2.0, 3.5, 0.02), Move(4, -5, -0.1), Move(500.0, 0.0)])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 1), (30, 47, 3), (60, 20, 1)])
def test_a_picture_is_moved_as_by_the_definition(move, shape):
    picture = np.random.default_rng(2).uniform(0, 1, shape).astype(np.float32)
    found, wanted = CompiledLoops().moved(picture, move), registration.moved(picture, move)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@needs_compiled
@pytest.mark.parametrize("move", [NO_MOVE, Move(1.7, -0.4), Move(-2.0, 3.5, 0.02), Move(4, -5, -0.1), Move(500.0, 0.0)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (33, 47), (90, 160), (163, 75)])
@pytest.mark.parametrize("scatter", [0.0, 0.1, 0.6])
def test_the_compiled_search_finds_the_move_of_the_definition(move, shape, scatter):
    """In pictures that clip and in part have nothing to do with each other, too."""
    plane = 2 * grid(*shape)[..., 0]
    rng = np.random.default_rng(3)
    other = registration.moved(plane, move) + scatter * rng.normal(0, 1, shape).astype(np.float32) * (plane > 0.7)
    planes = [np.clip(values, 0, 0.97).astype(np.float32) for values in (plane, other)]
    found, wanted = CompiledLoops().find_move(*planes), registration.find_move(*planes)
    assert (found.dx, found.dy) == pytest.approx((wanted.dx, wanted.dy), rel=1e-3, abs=2e-3)
    assert found.turn == pytest.approx(wanted.turn, rel=1e-3, abs=2e-5)


@needs_compiled
@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize("cells", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (30, 67)])
def test_the_compiled_small_picture_is_that_of_the_definition(shape, cells, filled):
    shape = tuple(cells * side for side in shape)
    reference, there = (np.minimum(1.6 * grid(*shape, seed=seed), 1) for seed in (1, 2))
    todo, small = (
        compensation_for(shape, filled=filled),
        downscale.mean_cells(there, shape[0] // cells, shape[1] // cells),
    )
    found = CompiledLoops().remade(reference, there, todo, small)
    assert np.abs(found - small).max() > 0.01
    np.testing.assert_allclose(found, exposure_synthesis.small_picture(reference, there, todo, small), atol=1e-5)


@needs_compiled
@pytest.mark.parametrize("shape", [(1, 1), (2, 31), (40, 32), (120, 200)])
def test_the_compiled_disagreement_is_that_of_the_definition(shape):
    under, over = grid(*shape, seed=1), exposed(grid(*shape, seed=1), 3.0)
    over[:, shape[1] // 2 :] = exposed(grid(*shape, seed=2), 3.0)[:, shape[1] // 2 :]
    allowed = ghost_mask.allowed_differences(under, over, intensity_mapping.of_light_ratio(3.0))
    found = CompiledLoops().disagreement(under, over, allowed)
    np.testing.assert_allclose(found, ghost_mask.disagreement(under, over, allowed), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 3])
def test_the_fast_path_is_that_of_the_definition_when_things_move(dtype, count):
    pictures = scene(200, 260, dtype)
    pictures[1] = np.roll(pictures[1], 3, axis=1)
    pictures[1][60:90, 70:120] = np.iinfo(dtype).max // 5
    if count == 3:
        pictures.append(np.minimum(pictures[1] * 1.5, np.iinfo(dtype).max).astype(dtype))
    chosen = FusionSettings(network_lines=48, motion="full")
    fused = CpuFuser(Curve(), chosen, 2).fuse(pictures)
    wanted = definition.fuse(pictures, Curve(), chosen)
    assert fused.motion is not None
    assert fused.motion.share > 0
    code = 1 if dtype == np.uint8 else 257
    assert (np.abs(fused.pixels.astype(int) - wanted) <= 2 * code).mean() > 0.995


@pytest.mark.parametrize("loops", [NumpyLoops, pytest.param(CompiledLoops, marks=needs_compiled)])
def test_the_exposures_are_not_touched(loops):
    pictures = scene(100, 140)
    pictures[0][20:40, 30:60] = 200
    before = [picture.copy() for picture in pictures]
    CpuFuser(Curve(), FusionSettings(network_lines=32, motion="full"), 2, loops()).fuse(
        pictures, moments=Moments((1, 4), 1)
    )
    for picture, copy in zip(pictures, before, strict=True):
        np.testing.assert_array_equal(picture, copy)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 3), (17, 16)])
def test_tiny_pictures_are_taken_as_they_are_or_mended(shape):
    fused = CpuFuser(Curve(), FusionSettings(network_lines=16, motion="full"), 2).fuse(noise(*shape))
    assert fused.pixels.shape == (*shape, 3)


FLAT = [(2, 4096), (8, 1920), (4, 1280), (1280, 4), (1, 4096), (4096, 1), (5, 3000), (3, 500)]


@pytest.mark.parametrize("shape", FLAT)
@pytest.mark.parametrize("mode", ["full", "global"])
@pytest.mark.parametrize("lines", [0, 48, 720])
def test_flat_pictures_of_any_kind_are_fused(shape, mode, lines):
    """Fewer rows than the steps of any sampling: a line camera, a slit of a mosaic."""
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=lines, motion=mode), 1)
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        base = np.random.default_rng(1).integers(0, top, (*shape, 3))
        for under, over in ((base // 4, base), (np.roll(base, 1, 1) // 4, base), (base * 0, base * 0 + top)):
            bracket = [under.astype(dtype), over.astype(dtype)]
            for moments in (Moments((1.0, 4.0), 1), Moments()):
                fused = fuser.fuse(bracket, moments=moments)
                assert fused.pixels.shape == (*shape, 3)
                assert fused.motion is not None


def test_an_unknown_mode_is_refused():
    with pytest.raises(FusionError, match="motion"):
        FusionSettings(motion="sideways")
