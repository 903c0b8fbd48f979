"""How many enqueued synchronous no-op workflows a second does one process drain, launch included?"""

from queue_drain import main

main("sync")
