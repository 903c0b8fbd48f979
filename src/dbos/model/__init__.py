"""What things mean: pure values and rules. No I/O, no clock, no threads; time is an argument."""
