"""What a process uses of its machine, and what it may use."""

from mlobs.resource.peak import peak_memory
from mlobs.resource.resources import Resources

__all__ = ["Resources", "peak_memory"]
