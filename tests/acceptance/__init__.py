"""The documented interface, held to its own words."""
