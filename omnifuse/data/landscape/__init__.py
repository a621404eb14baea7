"""Embedded synthetic data: a procedural agricultural landscape in which every sensor carries something the others lack."""

from omnifuse.data.landscape.config import LandscapeConfig
from omnifuse.data.landscape.source import Landscape

__all__ = ["Landscape", "LandscapeConfig"]
