"""Moved to `omnifuse.classes`; this forwarding stands only until its last user has followed."""

from omnifuse.classes import ClassTable

__all__ = ["ClassTable"]
