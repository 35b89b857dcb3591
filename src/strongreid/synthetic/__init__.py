"""The generated pedestrian world: a data set from a seed."""
