"""Every crash point: workflows and operations are killed at each of their effects, recovered, and compared."""
