"""The schedule, the optimisers, the one loop, and what a run writes down."""

from strongreid.training.schedule import learning_rate

__all__ = ["learning_rate"]
