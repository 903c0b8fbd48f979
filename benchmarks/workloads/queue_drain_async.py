"""How many enqueued asynchronous no-op workflows a second does one process drain, launch included?"""

from queue_drain import main

main("async")
