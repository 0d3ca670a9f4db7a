"""`mlobs demo`: a real model, real traffic and real drift, seen through nothing but the OTLP that mlobs sends.

`story.py` is the run; every other file is one thing it needs. Nothing here is on the library's own path.
"""
