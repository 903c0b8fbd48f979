"""Loops beside user code that keep it going, unaware of each other; each says when its next round is due."""
