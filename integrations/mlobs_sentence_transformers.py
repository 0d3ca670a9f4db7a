"""Soon."""

from __future__ import annotations

from mlobs.integration import Integration

integration = Integration(name="sentence-transformers", distribution="sentence-transformers", lowest="5.0", modules={})
