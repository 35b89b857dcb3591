"""What is true about each picture, held against the pixels."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageFilter

from strongreid.synthetic.body import Body
from strongreid.synthetic.dataset import WorldSettings, images
from strongreid.synthetic.dice import Dice
from strongreid.synthetic.passage import World
from strongreid.synthetic.patterns import print_top, shows_third_colour
from strongreid.synthetic.plan import make_plan
from strongreid.synthetic.skeleton import Stance
from strongreid.synthetic.take import Sitting, take
from strongreid.synthetic.trace import Trace
from strongreid.synthetic.truth import COLOUR_NAMES, JOINT_NAMES, attributes, describe, images_with_truth, name_colour
from strongreid.synthetic.tube import make_tube
from strongreid.synthetic.wardrobe import Pattern, draw_person

SMALL = WorldSettings(
    train_identities=3, test_identities=2, cameras=3, height=96, width=48, frames_max=3, distractors=0.5, junk=0.9
)
CLEAR = replace(SMALL, occlusion=0.0, bad_boxes=0.0, distractors=0.0, junk=0.0)


@pytest.fixture(scope="module")
def told():
    return list(images_with_truth(SMALL, masks=True, joints=True))


@pytest.fixture(scope="module")
def clear():
    return list(images_with_truth(CLEAR, masks=True, joints=True))


def grown(mask, pixels):
    return np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0


def test_the_pictures_are_those_of_the_set(told):
    for ours, image in zip(told, images(SMALL), strict=True):
        assert ours.shot.file == f"{image.split}/{image.name}"
        assert (ours.shot.identity, ours.shot.camera) == (image.identity, image.camera)
        assert np.array_equal(ours.pixels, image.pixels)


def test_without_asking_there_are_no_masks_and_joints_and_the_rest_is_the_same(told):
    for plain, full in zip(images_with_truth(SMALL), told, strict=True):
        if full.truth is None:
            assert plain.truth is None
        else:
            assert plain.truth == replace(full.truth, mask=None, joints=None, joints_visible=None)


class Ghost(Body):
    """A body with its back to the camera everywhere: it takes its place in the picture and is not drawn."""

    def pose(self, stance, yaw, elevation):
        places, normals = super().pose(stance, yaw, elevation)
        return places, np.full_like(normals, -1)


def test_the_mask_is_where_the_picture_differs_from_one_without_the_person(told):
    world = World(SMALL)
    truths = {image.shot.file: image for image in told}
    compared = 0
    for subject in (subject for subject in make_plan(SMALL) if subject.person):
        ghost = Ghost(subject.person, world.density)
        sittings = [Sitting(subject, ghost, shot) for shot in subject.shots]
        for shot, without in zip(subject.shots, take(world, sittings), strict=True):
            image, without = truths[shot.file], without.astype(int)
            differs = np.abs(image.pixels - without).max(2) > 0
            assert (differs & image.truth.mask).sum() >= 0.95 * image.truth.mask.sum()
            # Blur carries a little of the person over the edge; where they are plain to see, the mask is near.
            plain = np.abs(image.pixels - without).max(2) > 50
            assert (plain & ~grown(image.truth.mask, 2)).sum() <= 0.01 * plain.sum()
            compared += 1
    assert compared > 20


def test_joints_lie_inside_the_mask_of_a_person_in_plain_view(clear):
    inside = []
    for image in clear:
        truth = image.truth
        assert truth.joints.shape == (len(JOINT_NAMES), 2)
        mask = grown(truth.mask, 1)
        for (x, y), visible in zip(truth.joints, truth.joints_visible, strict=True):
            if 0 <= x < 48 and 0 <= y < 96:
                inside.append(mask[int(y), int(x)])
            else:
                assert not visible
    assert np.mean(inside) > 0.98
    assert len(inside) > 0.95 * len(clear) * len(JOINT_NAMES)


def test_heads_are_above_feet_and_right_is_the_persons_own(clear):
    for image in clear:
        place = dict(zip(JOINT_NAMES, image.truth.joints, strict=True))
        assert place["crown"][1] < place["neck"][1] < place["left hip"][1] < place["left ankle"][1]
        across = place["left shoulder"][0] - place["right shoulder"][0]
        if image.truth.viewpoint == "front":
            assert across > 0
        elif image.truth.viewpoint == "back":
            assert across < 0


def test_chins_and_shoulders_are_seen_from_the_front(clear):
    seen = {"chin": [], "neck": [], "left shoulder": [], "right shoulder": []}
    for image in clear:
        if image.truth.viewpoint == "front" and image.truth.cut_off < 0.02:
            visible = dict(zip(JOINT_NAMES, image.truth.joints_visible, strict=True))
            for name, found in seen.items():
                found.append(visible[name])
    assert all(len(found) > 3 and np.mean(found) > 0.9 for found in seen.values())


def test_the_far_arm_is_hidden_by_the_body_and_the_near_one_is_not():
    seen = {"left": [], "right": []}
    for image in images_with_truth(replace(CLEAR, train_identities=7, height=64, width=32), joints=True):
        if image.truth.viewpoint in seen and abs(image.truth.yaw % 180 - 90) < 25:
            visible = dict(zip(JOINT_NAMES, image.truth.joints_visible, strict=True))
            near = image.truth.viewpoint
            far = "right" if near == "left" else "left"
            seen[near].append((visible[f"{near} elbow"], visible[f"{far} elbow"]))
    assert len(seen["left"] + seen["right"]) > 10
    near, far = np.array(seen["left"] + seen["right"]).mean(0)
    assert near > 0.9, near
    assert far < 0.4, far


def test_nothing_is_covered_where_nothing_stands_in_front_and_little_is_cut_off_by_good_boxes(clear):
    assert all(image.truth.covered == 0 for image in clear)
    assert np.mean([image.truth.cut_off for image in clear]) < 0.03
    assert all(image.truth.occlusion == image.truth.cut_off for image in clear)


def shares(**changes):
    settings = replace(CLEAR, train_identities=5, cameras=2, height=32, width=16, **changes)
    truths = [image.truth for image in images_with_truth(settings)]
    for truth in truths:
        assert 0 <= truth.covered <= 1
        assert truth.occlusion == pytest.approx(1 - (1 - truth.covered) * (1 - truth.cut_off), abs=3e-4)
    return tuple(np.mean([getattr(truth, name) for truth in truths]) for name in ("covered", "cut_off"))


def test_occlusion_grows_with_occluders_and_with_bad_boxes():
    none, some, always = shares(), shares(occlusion=0.3), shares(occlusion=1.0)
    assert none[0] == 0 < some[0] < always[0]
    assert always[0] > 0.2
    bad = shares(bad_boxes=1.0)
    assert none[1] < 0.04
    assert bad[1] > none[1] + 0.04


def test_half_a_person_counts_as_half():
    world = World(CLEAR)
    subject = next(iter(make_plan(CLEAR)))
    trace = Trace()
    take(world, [Sitting(subject, Body(subject.person, world.density), subject.shots[0])], [trace])
    whole, inside, seen = trace.areas()
    assert whole >= inside == seen > 0
    rows, columns = trace._sight.shown.shape
    trace.cover_by_cut_out((-5, rows // 2), Image.new("L", (columns + 9, rows), 255))
    kept = np.count_nonzero(trace._sight.shown[: rows // 2])
    assert trace.areas() == (whole, inside, kept)


def test_pictures_of_a_track_are_moments_of_one_steady_walk(told):
    tracks = {}
    for image in told:
        if image.truth is not None and image.shot.identity > 0:
            tracks.setdefault(image.truth.track, []).append(image)
    assert all(len({(i.shot.identity, i.shot.camera) for i in track}) == 1 for track in tracks.values())
    longer = [track for track in tracks.values() if len(track) > 2]
    assert longer
    for track in longer:
        steps = np.diff([image.truth.phase for image in sorted(track, key=lambda image: image.truth.moment)])
        assert np.allclose(steps, steps[0])
        assert 0.7 <= steps[0] <= 1.6


def test_a_description_is_ready_for_json_and_false_alarms_show_no_one(told):
    for image in told:
        row = describe(image)
        assert json.loads(json.dumps(row)) == row
        if image.truth is None:
            assert row == {"subject": None}
        else:
            assert row["viewpoint"] in ("front", "right", "back", "left")
            assert set(row["joints"]) == set(JOINT_NAMES)
            assert row["subject"] == image.shot.identity or image.shot.identity < 1
    assert any(image.truth is None for image in told)
    assert any(image.shot.identity == -1 for image in told)


@pytest.mark.parametrize(
    ("change", "attribute", "value"),
    [
        ({"bag": "backpack", "bag_colour": (150, 40, 45)}, "bag_colour", "red"),
        ({"bag": "none"}, "bag_colour", "none"),
        ({"hat": "cap", "hat_colour": (228, 228, 224)}, "hat_colour", "white"),
        ({"hat": "none"}, "hat", "none"),
        ({"hair_style": "bald"}, "hair_colour", "none"),
        ({"hair_style": "bun", "hair": (27, 23, 21)}, "hair_colour", "black"),
        ({"weight": -1.5}, "build", "slim"),
        ({"weight": 2.0}, "build", "heavy"),
        ({"boots": True}, "shoes", "boots"),
        ({"boots": False, "shoes": "sandals"}, "shoes", "sandals"),
        ({"bag": "suitcase"}, "bag", "suitcase"),
        ({"scarf": True, "scarf_colour": (146, 42, 46)}, "scarf_colour", "red"),
        ({"scarf": False}, "scarf_colour", "none"),
        ({"height": 1.789}, "height", 1.79),
    ],
)
def test_attributes_follow_the_person(change, attribute, value):
    person = draw_person(Dice(3), 0)
    assert attributes(replace(person, **change))[attribute] == value


@pytest.mark.parametrize(
    ("change", "attribute", "value"),
    [
        ({"top_colour": (212, 190, 80)}, "top_colour", "yellow"),
        ({"top": "hoodie", "worn_open": True, "shirt_colour": (228, 228, 224)}, "under_colour", "white"),
        ({"top": "tee", "worn_open": True}, "worn_open", False),
        ({"pattern": "plain"}, "second_colour", "none"),
        ({"pattern": "hoops", "second_colour": (64, 77, 54)}, "second_colour", "green"),
        ({"pattern": "yoke", "third_colour": (64, 77, 54)}, "third_colour", "green"),
        ({"pattern": "hoops"}, "third_colour", "none"),
        ({"top": "vest", "worn_open": False, "shirt_colour": (228, 228, 224)}, "under_colour", "white"),
        ({"bottom": "long skirt", "bottom_pattern": "side stripe"}, "bottom_pattern", "plain"),
        ({"bottom": "joggers", "bottom_pattern": "side stripe"}, "bottom_pattern", "side stripe"),
        ({"bottom": "cropped", "bottom_pattern": "hem"}, "bottom_pattern", "plain"),
        ({"bottom": "jeans", "bottom_colour": (52, 70, 110)}, "bottom_colour", "blue"),
        ({"bottom": "dress", "top_colour": (146, 42, 46), "bottom_colour": (30, 30, 34)}, "bottom_colour", "red"),
    ],
)
def test_attributes_follow_the_clothes(change, attribute, value):
    person = draw_person(Dice(3), 0)
    assert attributes(replace(person, outfit=replace(person.outfit, **change)))[attribute] == value


def test_a_hood_is_up_where_there_is_one_and_no_hat():
    person = draw_person(Dice(3), 0)
    told = {}
    for top, hat in (("hoodie", "none"), ("hoodie", "cap"), ("tee", "none")):
        dressed = replace(person, hood_up=True, hat=hat, outfit=replace(person.outfit, top=top))
        told[top, hat] = attributes(dressed)["hood_up"]
    assert told == {("hoodie", "none"): True, ("hoodie", "cap"): False, ("tee", "none"): False}


@pytest.mark.parametrize("pattern", get_args(Pattern))
def test_a_third_colour_is_told_where_the_cloth_has_one(pattern):
    tube = make_tube(80, np.full(80, 0.15), np.full(80, 0.1), 0.6)
    told = []
    for number in range(12):
        outfit = replace(draw_person(Dice(4, number), 0).outfit, pattern=pattern)
        shown = [print_top(replace(outfit, third_colour=colour), tube) for colour in ((20, 240, 20), (240, 20, 20))]
        told.append((shows_third_colour(outfit), not np.array_equal(*shown)))
    assert all(said for said, seen in told if seen)
    assert sum(seen for said, seen in told if said) >= 0.5 * sum(said for said, _ in told)


def test_attributes_tell_neither_gender_nor_skin():
    person = draw_person(Dice(3), 0)
    other = replace(person, skin=(88, 61, 47), outfit=replace(person.outfit, women=not person.outfit.women))
    assert attributes(other) == attributes(person)


def test_colours_have_the_names_people_would_use():
    assert {name_colour(colour) for colour in ((255, 0, 0), (200, 30, 40))} == {"red"}
    assert name_colour((255, 255, 255)) == "white"
    assert name_colour((0, 0, 0)) == "black"
    assert name_colour((20, 40, 200)) == "blue"
    assert name_colour((30, 140, 40)) == "green"
    assert set(COLOUR_NAMES) >= {"black", "white", "grey", "red", "blue", "green", "yellow", "brown"}


def test_joints_are_where_the_surfels_are():
    person = draw_person(Dice(5), 1)
    body = Body(person, 0.4)
    stance = Stance(phase=0.7, swing=1.0)
    places, _ = body.pose(stance, yaw=0.4, elevation=0.2)
    for joint in body.joints(stance, yaw=0.4, elevation=0.2):
        assert np.sqrt(((places - joint[:, None]) ** 2).sum(0)).min() < 0.17


def test_pictures_made_side_by_side_are_those_made_alone():
    world = World(SMALL)
    sittings = [
        Sitting(subject, Body(subject.person, world.density) if subject.person else None, shot)
        for subject in [*make_plan(SMALL, 1, 2), *list(make_plan(SMALL))[-2:]]
        for shot in subject.shots
    ]
    assert {sitting.body is None for sitting in sittings} == {True, False}, "people and false alarms, in one turn"
    traces = [Trace() for _ in sittings]
    for sitting, pixels, trace in zip(sittings, take(world, sittings, traces), traces, strict=True):
        alone = Trace()
        np.testing.assert_array_equal(take(world, [sitting], [alone])[0], pixels)
        if sitting.body:
            assert alone.areas() == trace.areas()
            assert alone.sensor == trace.sensor
