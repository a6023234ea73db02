"""Fused pictures as video: for media servers, players, files, and programs that know cameras only."""
