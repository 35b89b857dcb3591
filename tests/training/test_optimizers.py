"""Optimisers against their formulas, written out; averaged weights against a running sum."""

import numpy as np
import pytest
import torch
from torch import nn

from strongreid.losses import BagOfTricksLoss
from strongreid.training.optimizers import average_weights, create_optimizers, set_learning_rate

LR, DECAY, MOMENTUM, STEPS = 0.1, 0.02, 0.8, 4
START = np.array([[1.0, -2.0, 0.5]])
GRADIENTS = np.random.default_rng(0).normal(size=(STEPS, 1, 3))


def adam(decoupled):
    weight, first, second = START.copy(), 0.0, 0.0
    for step, raw in enumerate(GRADIENTS, 1):
        gradient = raw if decoupled else raw + DECAY * weight
        if decoupled:
            weight = weight * (1 - LR * DECAY)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight = weight - LR * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return weight


def sgd():
    weight, velocity = START.copy(), 0.0
    for step, raw in enumerate(GRADIENTS):
        gradient = raw + DECAY * weight
        velocity = gradient if step == 0 else MOMENTUM * velocity + gradient
        weight = weight - LR * velocity
    return weight


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [("adam", adam(False)), ("adamw", adam(True)), ("sgd", sgd())],
    ids=lambda v: str(v)[:5],
)
def test_a_few_steps_equal_the_formula(algorithm, expected):
    model = nn.Linear(3, 1, bias=False).double()
    model.weight.data = torch.from_numpy(START.copy())
    plain = BagOfTricksLoss(2, 3, center_weight=0)
    (optimizer,) = create_optimizers(
        model, plain, lr=LR, weight_decay=DECAY, center_lr=0.5, algorithm=algorithm, momentum=MOMENTUM
    )
    for gradient in GRADIENTS:
        model.weight.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-9)


def test_frozen_parameters_are_left_out_and_the_rate_reaches_every_group():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizers = create_optimizers(model, BagOfTricksLoss(2, 2), lr=1.0, weight_decay=0, center_lr=0.5)
    assert [len(group["params"]) for group in optimizers[0].param_groups] == [2]
    assert optimizers[1].param_groups[0]["lr"] == 0.5 / 0.0005
    set_learning_rate(optimizers[0], 0.25)
    assert {group["lr"] for group in optimizers[0].param_groups} == {0.25}


def test_the_average_is_a_running_sum_of_weights_and_statistics():
    model = nn.BatchNorm1d(3)
    averaged = average_weights(model, 0.75)
    expected = None
    for step in range(5):
        with torch.no_grad():
            model.weight.add_(step + 1.0)
            model.running_mean.mul_(0.5).add_(step)
        averaged.update_parameters(model)
        now = {name: tensor.clone() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
        expected = now if expected is None else {n: 0.75 * expected[n] + 0.25 * t for n, t in now.items()}
    for name, tensor in expected.items():
        torch.testing.assert_close(averaged.module.state_dict()[name], tensor)
    assert average_weights(model, 0) is None
