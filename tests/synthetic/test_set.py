"""Promises of the generated set: presets, parts, streams, sizes, the plan of a large one."""

from __future__ import annotations

import hashlib
import math
import tracemalloc
from collections import Counter
from dataclasses import asdict, fields, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strongreid.cli import main
from strongreid.errors import InputError
from strongreid.synthetic import dataset, dice, truth
from strongreid.synthetic.crowd import CROWD, draw_endlessly, draw_people
from strongreid.synthetic.dataset import PRESETS, WorldSettings, identities, images, preset, stream
from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.journal import read_manifest
from strongreid.synthetic.passage import World, draw_passage
from strongreid.synthetic.plan import count_pictures, draw_everyone, make_plan, plan_endlessly

SMALL = WorldSettings(train_identities=3, test_identities=2, cameras=2, height=32, width=16, frames_max=2)

# Names of the default world's files by generator version 1, in order, as they were before plans could be walked.
DEFAULT_FILES = "70e8a302855953432399c24edc3a94d530d0f0a9351c86432648b81203f7cf7d"


_world = cache(World)


@pytest.fixture(autouse=True)
def _built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras are built once for all tests."""
    monkeypatch.setattr(dataset, "World", _world)


def pictures(drawn: Any) -> list[tuple[str, bytes]]:
    return [(f"{image.split}/{image.name}", image.pixels.tobytes()) for image in drawn]


@pytest.fixture
def whole() -> list[tuple[str, bytes]]:
    return pictures(images(SMALL))


def test_the_plan_of_the_default_world_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dice, "GENERATOR_VERSION", 1)  # whatever changed in the pictures since
    names = "\n".join(shot.file for subject in make_plan(WorldSettings()) for shot in subject.shots)
    assert hashlib.sha256(names.encode()).hexdigest() == DEFAULT_FILES


@pytest.mark.parametrize("distractors", [0.0, 0.3, 2.7])
def test_counts_and_people_are_those_of_the_plan(distractors: float) -> None:
    settings = replace(SMALL, distractors=distractors, clothing=0.5)
    plan = list(make_plan(settings))
    assert count_pictures(settings) == sum(len(subject.shots) for subject in plan)
    people = [(subject.number, subject.person) for subject in plan if subject.person]
    assert list(draw_everyone(settings)) == people


def test_presets_are_ordered_by_what_makes_them_hard() -> None:
    assert list(PRESETS) == ["easy", "default", "hard", "occluded"]
    easy, default, hard, occluded = (preset(name) for name in PRESETS)
    assert default == WorldSettings()
    for law in ("colour_shift", "lighting", "occlusion", "bad_boxes", "look_alikes", "distractors", "junk"):
        assert getattr(easy, law) < getattr(default, law) < getattr(hard, law)
    assert occluded.occlusion > hard.occlusion
    assert replace(occluded, occlusion=default.occlusion, bad_boxes=default.bad_boxes) == default


def test_a_preset_can_be_changed_setting_by_setting() -> None:
    changed = preset("hard", seed=3, occlusion=0.0)
    assert asdict(changed) == {**asdict(preset("hard")), "seed": 3, "occlusion": 0.0}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("hrad", {}, "preset is 'hrad'; allowed is easy, default, hard, occluded"),
        ("hard", {"colour": 1}, "colour is unknown; the settings are seed, "),
        ("easy", {"cameras": 1}, "cameras is 1; allowed is a whole number from 2"),
    ],
)
def test_a_wrong_preset_is_refused(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        preset(name, **changes)


def test_on_the_command_line_flags_go_before_the_preset_and_that_before_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "world.yaml").write_text("preset: occluded\nseed: 9\ntrain_identities: 1\ntest_identities: 1\n")
    sizes = ["--height", "32", "--width", "16", "--cameras", "2", "--frames-max", "2", "--quiet", "--processes", "1"]
    wanted = {"easy": ["--preset", "easy"], "occluded": []}
    for name, flags in wanted.items():
        out = tmp_path / name
        config = ["--config", str(tmp_path / "world.yaml")]
        assert main(["synthesize", str(out), *config, *flags, *sizes, "--junk", "0.25"]) == 0
        sized = {"height": 32, "width": 16, "cameras": 2, "frames_max": 2, "junk": 0.25}
        few = {"seed": 9, "train_identities": 1, "test_identities": 1}
        assert read_manifest(out)["settings"] == asdict(preset(name, **sized, **few))
    with pytest.raises(SystemExit):
        main(["synthesize", str(tmp_path / "x"), "--preset", "hrad"])
    assert "'hard'" in capsys.readouterr().err


def test_the_documented_table_of_presets_is_true() -> None:
    text = (Path(__file__).parents[2] / "docs" / "synthetic.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    table = {line[0].replace("`", ""): line[1:5] for line in lines if len(line) == 6}
    columns = [asdict(preset(name)) for name in PRESETS]
    single = {law: values for law, values in table.items() if law in columns[0]}
    pairs = {law: values for law, values in table.items() if law not in single}
    assert {**single, **pairs} == table
    assert len(single) + 2 * len(pairs) == len(columns[0])
    for law, values in single.items():
        assert [float(value) for value in values] == [column[law] for column in columns], law
    for laws, values in pairs.items():
        names = laws.replace(" x ", ", ").split(", ")
        found = [tuple(map(float, value.replace(" x ", ", ").split(", "))) for value in values]
        assert found == [tuple(column[name] for name in names) for column in columns], laws


def test_the_documented_snippet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "synthetic.md").read_text()
    exec(compile(text.split("```python\n")[1].split("```")[0], "synthetic.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bounding_box_train 3 1 (128, 64, 3)")
    assert [line.split()[0] for line in lines[-4:]] == ["21", "22", "1", "2"]


def test_every_setting_is_explained_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["synthesize", "--help"])
    text = capsys.readouterr().out
    for field in fields(WorldSettings):
        place = text.index(f"\n  --{field.name} ")
        assert "default:" in text[place : place + 400], field.name


@pytest.mark.parametrize(("height", "width"), [(384, 192), (384, 16), (33, 17), (192, 192), (640, 320)])
def test_any_size_is_rendered(height: int, width: int) -> None:
    settings = replace(SMALL, height=height, width=width, distractors=1.0, occlusion=1.0)
    people = settings.train_identities + settings.test_identities
    for number in (1, people + 1):  # a person, a false alarm
        for image in islice(images(settings, number, number), 2):
            assert (image.pixels.shape, image.pixels.dtype) == ((height, width, 3), np.uint8)
            assert image.pixels.std() > 4, "something is to be seen"


def test_people_are_seen_from_all_around() -> None:
    world = World(replace(SMALL, cameras=6))
    turns = Counter()
    for number in range(1, 7):
        camera = world.camera(number)
        for turn in range(200):
            yaw = draw_passage(world, camera, 1.7, Dice(7, Stream.TRACK, turn, number)).yaw
            turns[int(yaw % math.tau / math.tau * 12)] += 1
    assert set(turns) == set(range(12)), "each twelfth of the circle"
    assert min(turns.values()) > 0.02 * turns.total()


@pytest.mark.parametrize("cap", [2, 5, 8])
def test_clusters_of_look_alikes_stay_small(cap: int) -> None:
    people = list(draw_people(Dice(3), 200, look_alikes=0.95, cap=cap))
    sizes = Counter(person.cluster for person in people)
    assert max(sizes.values()) == cap
    assert all(people[cluster].cluster == cluster for cluster in sizes)


def test_clothing_changes_clothes_and_nobody_else() -> None:
    settings = WorldSettings(train_identities=40, test_identities=2)
    varied = [one.person for one in make_plan(settings) if one.person]
    mixed = [one.person for one in make_plan(replace(settings, clothing=0.5)) if one.person]
    plain = [one.person for one in make_plan(replace(settings, clothing=0.0)) if one.person]
    assert {(p.outfit.top, p.outfit.bottom, p.outfit.pattern, p.bag, p.hat) for p in plain} == {
        ("sweater", "trousers", "plain", "none", "none")
    }
    assert len({p.outfit.top_colour for p in plain}) == len({p.outfit.top_colour for p in varied})
    assert all(m in (v, p) for m, v, p in zip(mixed, varied, plain, strict=True))
    assert 0.3 < sum(m == v for m, v in zip(mixed, varied, strict=True)) / len(mixed) < 0.75


@pytest.mark.parametrize(("look_alikes", "cap"), [(0.0, 5), (1.0, 1)])
def test_no_look_alikes_when_none_are_asked_for(look_alikes: float, cap: int) -> None:
    assert [person.cluster for person in draw_people(Dice(3), 20, look_alikes, cap)] == list(range(20))


def test_a_part_is_a_part_of_the_whole_and_nobody_else_is_rendered(
    whole: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    body = truth.Body

    def count(person: Any, density: float) -> Any:
        built.append(person)
        return body(person, density)

    monkeypatch.setattr(truth, "Body", count)
    owners = [subject.number for subject in make_plan(SMALL) for _ in subject.shots]
    for first, last in ((1, 1), (2, 4), (5, 5), (4, 7), (6, None)):
        built.clear()
        part = pictures(images(SMALL, first, last))
        inside = [first <= owner <= (last or owner) for owner in owners]
        assert part == [picture for picture, wanted in zip(whole, inside, strict=True) if wanted]
        assert len(built) <= (last or owners[-1]) - first + 1
        assert part


def test_identities_are_the_people_of_the_set_with_their_pictures(whole: list[tuple[str, bytes]]) -> None:
    everybody = list(identities(SMALL))
    assert [person.number for person in everybody] == [1, 2, 3, 4, 5]
    plan = {subject.number: subject for subject in make_plan(SMALL)}
    for person in everybody:
        assert person.person == plan[person.number].person
        assert {image.identity for image in person.images} <= {person.number, -1}
    labelled = sum(len(plan[number].shots) for number in range(1, 6))
    assert [picture for person in everybody for picture in pictures(person.images)] == whole[:labelled]
    assert [person.number for person in identities(SMALL, 3, 4)] == [3, 4]
    assert [person.number for person in identities(SMALL, 5, 99)] == [5]


@pytest.mark.parametrize(("first", "last"), [(0, None), (3, 2)])
def test_an_impossible_part_is_refused_at_once(first: int, last: int | None) -> None:
    for take in (images, identities):
        with pytest.raises(InputError, match=f"identities {first} to {last}; allowed is"):
            take(SMALL, first, last)


def test_a_person_of_a_stream_follows_from_the_seed_and_the_number_alone() -> None:
    def take(start: int, step: int, count: int, **changes: Any) -> dict[int, list[tuple[str, bytes]]]:
        drawn = islice(stream(replace(SMALL, **changes), start, step), count)
        return {person.number: pictures(person.images) for person in drawn}

    row = take(CROWD - 1, 1, 4)
    assert list(row) == [CROWD - 1, CROWD, CROWD + 1, CROWD + 2], "past the end of a crowd"
    assert take(CROWD, 2, 2) == {number: row[number] for number in (CROWD, CROWD + 2)}
    assert take(CROWD + 1, 1, 1, train_identities=50, test_identities=1, junk=0.9) == {CROWD + 1: row[CROWD + 1]}
    assert take(CROWD + 1, 1, 1, seed=8)[CROWD + 1] != row[CROWD + 1]


def test_workers_share_a_stream_without_a_gap_or_a_double() -> None:
    alone = dict(islice(draw_endlessly(SMALL, 1, 1), 3 * CROWD))
    shared = dict(pair for worker in (1, 2, 3) for pair in islice(draw_endlessly(SMALL, worker, 3), CROWD))
    assert shared == alone
    assert list(alone) == list(range(1, 3 * CROWD + 1))
    assert next(draw_endlessly(SMALL, 2 * CROWD, 1)) == (2 * CROWD, alone[2 * CROWD])


def test_people_of_a_stream_are_new_and_some_look_alike() -> None:
    people = [person for _, person in islice(draw_endlessly(SMALL, 1, 1), 4 * CROWD)]
    assert len(set(people)) == len(people)
    assert not set(people) & {subject.person for subject in make_plan(WorldSettings())}
    sizes = Counter(person.cluster for person in people)
    assert 1 < max(sizes.values()) <= SMALL.cluster_cap
    assert len(people) * 0.35 < len(people) - len(sizes) < len(people) * 0.65


def test_pictures_of_a_stream_are_training_pictures_of_their_person() -> None:
    person = next(stream(SMALL, 70))
    assert {(image.identity, image.split) for image in person.images} == {(70, "bounding_box_train")}
    assert len({image.camera for image in person.images}) >= 2


@pytest.mark.parametrize("wrong", [{"start": 0}, {"step": 0}])
def test_an_impossible_stream_is_refused_at_once(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"is 0; allowed is 1 or more"):
        stream(SMALL, **wrong)


def peak(plan: Any, count: int) -> int:
    """Bytes that walking `count` subjects of a plan takes at most."""
    tracemalloc.start()
    try:
        for _ in islice(plan, count):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_endless_plan_takes_no_more_memory_for_more_people() -> None:
    settings = replace(SMALL, cameras=10, frames_max=10)
    short, long = (peak(plan_endlessly(settings, 1, 1), count) for count in (CROWD, 4 * CROWD))
    assert long < 1.3 * short


def test_the_plan_of_a_large_set_remembers_people_who_may_be_copied_and_no_pictures() -> None:
    settings = WorldSettings(train_identities=150, cameras=20, frames_min=5, frames_max=9, distractors=0.0)
    assert peak(make_plan(settings), 150) < 150 * 3000, "100 pictures a person would take ten times that"
    settings = replace(settings, cluster_cap=1)
    assert peak(make_plan(settings), 120) < 1.3 * peak(make_plan(settings), 30)


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", 2**32), ("cluster_cap", 0), ("cluster_cap", 2.0), ("train_identities", 10**9), ("height", 4096)],
)
def test_settings_out_of_range_say_what_is_allowed(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{field} is .*allowed is"):
        WorldSettings(**{field: value})


def test_a_picture_that_is_too_slender_is_refused() -> None:
    with pytest.raises(InputError, match="width is 16; allowed is 17 or more, a 24th of the height, 400"):
        WorldSettings(height=400, width=16)


def test_a_share_of_nought_is_the_same_world_however_it_is_written() -> None:
    assert repr(WorldSettings(junk=0)) == repr(WorldSettings(junk=0.0))
