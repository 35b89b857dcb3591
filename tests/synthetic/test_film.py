"""Whole frames of walking people, on small frames with few of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.synthetic.made import SMALL_SCENE as SMALL

from strongreid.synthetic import capture, street
from strongreid.synthetic.body import Body
from strongreid.synthetic.camera import family_of
from strongreid.synthetic.capture import finish, photograph
from strongreid.synthetic.dataset import WorldSettings
from strongreid.synthetic.daylight import Daylight
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.figure import draw_figure
from strongreid.synthetic.film import Film
from strongreid.synthetic.ground import FOCAL
from strongreid.synthetic.passage import World, draw_passage
from strongreid.synthetic.plan import make_plan
from strongreid.synthetic.scene import FAMILIES, WIDTH
from strongreid.synthetic.street import SceneSettings, render_scene, scene_people
from strongreid.synthetic.truth import JOINT_NAMES
from strongreid.synthetic.walk import Lens, Walk
from strongreid.synthetic.wardrobe import draw_person


def stage(people=3, width=320, height=180, furniture=False, **changes):
    """A film of people who come towards camera 1 one behind the other, and its walks."""
    world = World(WorldSettings(seed=3, colour_shift=0.0, lighting=0.0))
    camera = world.camera(1)
    if not furniture:
        camera.scene = replace(camera.scene, furniture=())
    lens = Lens(camera, width, height)
    walks = []
    for number in range(1, people + 1):
        person = scene_people(SMALL)[number - 1]
        passage = draw_passage(world, camera, person.height, Dice(3, number))
        foot = (camera.scene.image.width * (0.5 + 0.02 * number), 0.0)
        pixels = 40.0 + 40.0 * number
        passage = replace(passage, **{"foot": foot, "pixels": pixels, "yaw": 0.0, "swing": 1.0, **changes})
        walks.append(Walk(number, Body(person, 0.5), passage, lens, 0.0, Dice(3, number)))
    weather = draw_passage(world, camera, 1.7, Dice(3))
    return Film(camera, 1, lens, weather, walks, Dice(4)), walks, lens


def test_every_camera_has_all_its_frames_in_their_size(filmed):
    assert [(frame.camera, frame.number) for frame in filmed] == [(c, n) for c in (1, 2) for n in range(1, 13)]
    for frame in filmed:
        assert frame.pixels.shape == (180, 320, 3)
        assert frame.pixels.dtype == np.uint8


def test_boxes_fit_the_masks_and_reach_into_the_frame(filmed):
    for seen in (seen for frame in filmed for seen in frame.people):
        assert seen.mask.shape == seen.visible.shape == (seen.height, seen.width)
        assert all(seen.mask.any(axis)[end] for axis in (0, 1) for end in (0, -1)), "as tight as can be"
        assert seen.left < 320
        assert seen.left + seen.width > 0
        assert seen.top < 180
        assert seen.top + seen.height > 0


@pytest.mark.parametrize(("width", "height"), [(320, 180), (200, 200), (300, 120)])
def test_people_change_pixels_within_their_boxes_and_shadows_only(width, height):
    film, _, lens = stage(people=1, width=width, height=height, furniture=True)
    film._noise = np.zeros_like(film._noise)
    full = film.frame(1, 0.0, Dice(1))
    (seen,) = full.people
    film._walks = []
    differs = np.abs(full.pixels.astype(int) - film.frame(1, 0.0, Dice(1)).pixels).max(2) > 0
    inside = np.zeros((height, width), bool)
    top, left = max(0, seen.top - 1), max(0, seen.left - 1)
    inside[top : seen.top + seen.height + 1, left : seen.left + seen.width + 1] = True
    visible = np.zeros((height, width), bool)
    rows, columns = np.nonzero(seen.visible)
    visible[rows + seen.top, columns + seen.left] = True
    assert (differs & visible).sum() > 0.97 * visible.sum()
    # Above the horizon nothing but the person can differ: a shadow, with its soft edge, lies on the ground.
    assert not (differs & ~inside)[: max(0, round(lens.horizon) - 4)].any()


def test_visibility_is_the_share_of_the_mask_that_nobody_nearer_and_no_edge_takes():
    film, _, _ = stage()
    hidden = 0
    for number in range(8):
        people = film.frame(1, 0.4 * number, Dice(number)).people
        for seen in people:
            count = 0
            for row, column in zip(*np.nonzero(seen.mask), strict=True):
                y, x = row + seen.top, column + seen.left
                covered = any(
                    0 <= y - o.top < o.height and 0 <= x - o.left < o.width and o.mask[y - o.top, x - o.left]
                    for o in people
                    if o.distance < seen.distance
                )
                outside = not (0 <= y < 180 and 0 <= x < 320)
                assert seen.visible[row, column] == (not covered and not outside)
                count += not covered and not outside
            assert seen.visibility == pytest.approx(count / seen.mask.sum(), abs=1e-4)
            hidden += seen.visibility < 0.9
    assert hidden > 3


def test_furniture_hides_whoever_walks_behind_it():
    open_film, walks, _ = stage(people=1)
    film, _, _ = stage(people=1, furniture=True)
    z = walks[0].z
    plain = open_film.frame(1, 0.0, Dice(1)).people[0]
    wall = replace(film._obstacles[0], rectangle=(0, 0, 320, 180), cover=np.ones((180, 320, 1), np.float32))
    film._obstacles = [replace(wall, z=z + 1)]
    assert film.frame(1, 0.0, Dice(1)).people[0].visibility == plain.visibility == 1.0
    film._obstacles = [replace(wall, z=z - 1)]
    assert film.frame(1, 0.0, Dice(1)).people[0].visibility == 0.0


def test_sizes_follow_perspective_and_feet_stand_on_the_ground():
    film, walks, lens = stage(people=1)
    heights = []
    for number in range(10):
        seen = film.frame(1, 0.3 * number, Dice(1)).people[0]
        footing = walks[0].at(0.3 * number)
        assert seen.distance == footing.z
        heights.append(seen.height * footing.z / lens.focal)
        ground = lens.horizon + lens.focal * lens.camera_height / footing.z
        assert abs(seen.top + seen.height - ground) < 2 + 0.12 * seen.height
    # In metres always the same, but for the step.
    assert np.ptp(heights) < 0.15 * np.mean(heights)
    assert np.mean(heights) == pytest.approx(walks[0].body.person.height, rel=0.12)
    assert film.frame(1, 3.0, Dice(1)).people[0].height > 1.1 * film.frame(1, 0.0, Dice(1)).people[0].height


def test_a_foot_leaves_the_ground_where_it_came_down():
    _, walks, _ = stage(people=3, yaw=1.2)
    for walk in walks:
        for ankle, down in (("left ankle", np.pi / 2), ("right ankle", 3 * np.pi / 2)):
            moments = [(phase - walk.passage.phase) / walk.cadence for phase in (down, down + np.pi)]
            feet = [walk.at(moment) for moment in moments]
            travelled = np.hypot(feet[1].x - feet[0].x, feet[1].z - feet[0].z)
            places = [walk.body.joints(f.stance, 0.0, 0.0)[JOINT_NAMES.index(ankle), 2] for f in feet]
            assert travelled == pytest.approx(places[0] - places[1], abs=0.02)
            assert 0.2 < travelled < 1.2


def test_the_background_of_a_camera_stays_the_same():
    film, _, _ = stage(people=0)
    first, second = (film.frame(n, float(n), Dice(n)).pixels.astype(int) for n in (1, 2))
    assert not np.array_equal(first, second), "noise"
    assert np.abs(first - second).mean() < 3
    assert abs((first - second).mean()) < 0.05


def test_identities_are_the_same_people_for_every_camera(monkeypatch):
    walked = {}

    class Noted(Walk):
        def __init__(self, identity, body, passage, *rest):
            walked[identity, passage.camera] = body.person
            super().__init__(identity, body, passage, *rest)

    monkeypatch.setattr(street, "Walk", Noted)
    found = {1: set(), 2: set()}
    for frame in render_scene(SMALL):
        found[frame.camera] |= {seen.identity for seen in frame.people}
    assert found == {1: {1, 2, 3, 4}, 2: {1, 2, 3, 4}}, "everybody passes every camera"
    test_people = [subject.person for subject in list(make_plan(SMALL.world))[400:404]]
    assert len(walked) == 8
    assert len({camera for _, camera in walked}) == 2
    for (identity, _), person in walked.items():
        assert person == replace(test_people[identity - 1], cluster=person.cluster)


def test_walkers_keep_clear_of_each_other_and_of_furniture():
    world = World(SMALL.world, deserted=True)
    for camera in (1, 2):
        film = street._film(SMALL, world, scene_people(SMALL), camera)
        scene = world.camera(camera).scene
        assert scene.furniture
        for number in range(25):
            for index, walk in enumerate(film._walks):
                assert not walk.bumps(0.1 * number, film._walks[:index], scene)


def test_backgrounds_of_films_lack_the_people_without_identity_and_nothing_else():
    settings, places, alone = WorldSettings(seed=3), World(WorldSettings(seed=3)), 0
    empty = World(settings, deserted=True)
    for camera in range(1, 4):
        full, left = (world.camera(camera).scene for world in (places, empty))
        spots = [[(piece.left, piece.top, piece.row) for piece in scene.furniture] for scene in (full, left)]
        assert set(spots[1]) <= set(spots[0])
        alone += len(spots[0]) - len(spots[1])
        differs = np.abs(np.asarray(full.image).astype(int) - np.asarray(left.image)).max(2) > 0
        assert differs.any() == (len(spots[0]) > len(spots[1]))
        assert differs.mean() < 0.2
    assert alone > 0


def platform_of(seed):
    """A world, and its first camera on a platform."""
    number = next(n for n in range(1, len(FAMILIES) + 1) if family_of(seed, n) == "platform")
    return World(WorldSettings(seed=seed, cameras=max(2, number)), deserted=True), number


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_nobody_walks_between_the_rails(seed):
    world, number = platform_of(seed)
    scene = world.camera(number).scene
    assert scene.edge is not None
    settings = SceneSettings(seed=seed, cameras=number, people=8, frames=100)
    film = street._film(settings, world, street.scene_people(settings), number)
    for walk in film._walks:
        for seconds in np.linspace(0, 4, 50):
            footing = walk.at(seconds)
            assert scene.walkable(footing.x, footing.z) or not walk.drawn(footing)
    assert len(film._walks) == 8


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_pictures_show_nobody_between_the_rails(seed, monkeypatch):
    world, number = platform_of(seed)
    camera = world.camera(number)
    bed = camera.scene
    shown = []
    frame = capture._frame

    def look(*arguments):
        shown.append(frame(*arguments))
        return shown[-1]

    monkeypatch.setattr(capture, "_frame", look)
    body = Body(draw_person(Dice(3), 0), 0.1)
    for turn in range(40):
        passage = draw_passage(world, camera, body.person.height, Dice(seed, turn))
        finish([photograph(world, body, passage, turn % 9, Dice(seed, turn, 1), junk=turn % 3 == 0)])
    for view in shown:
        z = FOCAL * bed.camera_height / (view.foot_row - bed.horizon)
        assert bed.walkable((view.foot_column - WIDTH / 2) * z / FOCAL - 1e-6 * bed.edge.right, z)
        assert 0 <= view.left <= WIDTH - view.wide
    assert np.ptp([view.foot_column for view in shown]) > 0.25 * WIDTH, "all over the platform"


def test_a_shadow_takes_the_share_of_light_that_the_hour_says():
    for sun, softness in ((0.7, 0.1), (0.1, 1.0)):
        daylight = Daylight("site", (0.6, 0.6, 0.5), (sun,) * 3, (0.5,) * 3, softness)
        film, walk, lens = stage(people=1)
        figure = draw_figure(walk[0], walk[0].at(0.5), lens, film._light, daylight.shadow)
        assert figure.shadow.max() == 1
        assert figure.shadow.min() == pytest.approx(1 - daylight.shadow, abs=0.02)


def test_cameras_film_one_after_the_other():
    assert SMALL.start(1) == 0
    assert SMALL.start(2) > SMALL.frames / SMALL.fps


def test_people_come_and_go():
    counts = [len(frame.people) for frame in render_scene(replace(SMALL, cameras=1, people=6, frames=40, fps=2))]
    assert 0 <= min(counts) < max(counts) <= 6
    assert counts[0] < max(counts) or counts[-1] < max(counts)
