import dataclasses

import pytest

from strongreid.config import PRESETS, RANGES, AugmentConfig, Config, OptimConfig
from strongreid.errors import InputError


@pytest.mark.parametrize("name", PRESETS)
def test_every_range_names_a_setting_and_every_preset_is_inside(name):
    settings = PRESETS[name]().to_dict()
    for path, (least, most) in RANGES.items():
        room, key = path.split(".")
        assert least <= settings[room][key] <= most


def test_a_number_out_of_range_is_refused_with_the_range():
    with pytest.raises(InputError, match=r"augment.erasing is 2: it must be from 0 to 1\."):
        Config(augment=AugmentConfig(erasing=2))
    with pytest.raises(InputError, match=r"optim.epochs is 0: it must be from 1 to inf\."):
        Config(optim=OptimConfig(epochs=0))


def test_the_soft_margin_is_no_number_and_allowed():
    config = Config()
    soft = dataclasses.replace(config, loss=dataclasses.replace(config.loss, margin=None))
    assert soft.to_dict()["loss"]["margin"] is None


def test_the_defaults_are_the_paper_s_recipe():
    config = Config()
    assert (config.model.backbone, config.data.height, config.data.width) == ("resnet50", 256, 128)
    assert (config.batch.identities, config.batch.images) == (16, 4)
    assert (config.optim.lr, config.optim.weight_decay, config.optim.epochs) == (3.5e-4, 5e-4, 120)
    assert (config.optim.warmup_epochs, config.optim.milestones, config.optim.center_lr) == (10, (40, 70), 0.5)
    assert (config.augment.flip, config.augment.pad, config.augment.erasing) == (0.5, 10, 0.5)
    assert (config.loss.label_smoothing, config.loss.margin, config.loss.center_weight) == (0.1, 0.3, 0.0005)
