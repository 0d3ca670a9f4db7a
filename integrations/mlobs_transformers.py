"""Soon."""

from __future__ import annotations

from mlobs.integration import Integration

integration = Integration(name="transformers", distribution="transformers", lowest="5.0", modules={})
