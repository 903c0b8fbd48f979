"""What users can ask for, one noun per module: each operation is written once, as a generator of effects."""
