"""The network, its backbones and its weights."""
