"""A map as one page that needs nothing but itself: imagery, classes and confidence over it, areas, and what lies where one clicks."""

from omnifuse.inference.web_map.classified import Classified, read_classified, read_facts
from omnifuse.inference.web_map.page import WebMap, write_web_map
from omnifuse.inference.web_map.picture import Picture, read_picture
from omnifuse.inference.web_map.shares import read_confidence, read_probabilities

__all__ = [
    "Classified",
    "Picture",
    "WebMap",
    "read_classified",
    "read_confidence",
    "read_facts",
    "read_picture",
    "read_probabilities",
    "write_web_map",
]
