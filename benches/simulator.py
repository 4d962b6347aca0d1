"""Simulates cache policies; run by the environment of the toolbox, which has libCacheSim.

Argument: a JSON file with `room` in bytes and `requests` as pairs of object and size. Prints hits in percent by policy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import libcachesim

POLICIES = {
    "Belady": libcachesim.Belady,
    "GDSF": libcachesim.GDSF,
    "W-TinyLFU": libcachesim.WTinyLFU,
    "S3-FIFO": libcachesim.S3FIFO,
    "LRU": libcachesim.LRU,
}
NEVER = 2**62


def main(path: str) -> None:
    """Runs all policies on one trace."""
    said = json.loads(Path(path).read_text())
    requests: list[tuple[int, int]] = said["requests"]
    upcoming = [NEVER] * len(requests)
    last: dict[int, int] = {}
    for index in range(len(requests) - 1, -1, -1):
        number = requests[index][0]
        upcoming[index] = last.get(number, NEVER)
        last[number] = index
    hits = {}
    for name, policy in POLICIES.items():
        cache = policy(said["room"], hashpower=18)
        request = libcachesim.Request(op=libcachesim.ReqOp.OP_GET)
        count = 0
        for index, (number, size) in enumerate(requests):
            request.obj_id, request.obj_size, request.clock_time = number, size, index
            request.next_access_vtime = upcoming[index]
            count += cache.get(request)
        hits[name] = 100 * count / len(requests)
    print(json.dumps(hits))


if __name__ == "__main__":
    main(sys.argv[1])
