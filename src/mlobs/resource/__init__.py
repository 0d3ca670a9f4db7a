"""What a process uses of its machine."""

from mlobs.resource.process import Process

__all__ = ["Process"]
