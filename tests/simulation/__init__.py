"""Several executors, one database and a clock of ours, on one thread: any run can be had again by its seed."""
