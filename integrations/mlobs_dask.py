"""Dask."""
from mlobs.integration import Integration
integration = Integration(name="dask", distribution="distributed", lowest="2025.1", modules={})
