"""Loops beside user code that keep it going, unaware of each other. Each does one round and says when the next is due."""
