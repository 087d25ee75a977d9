#!/usr/bin/python3
"""Calls on asyncio's own loop: a hundred at a time in one thread, fed from an asynchronous source."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import spile


async def lines(count: int) -> AsyncIterator[str]:
    for number in range(count):
        await asyncio.sleep(0)
        yield f"{count - number:04}\n"


async def main() -> None:
    results = await asyncio.gather(
        *(spile.run_async("sort {<lines} >{sorted}", files={"lines": lines(count)}) for count in range(1, 101))
    )
    print(sum(len(result["sorted"]) for result in results), "bytes sorted")

    async with spile.start_async("seq {count} >{numbers}", values={"count": 100_000},
                                 outputs={"numbers": spile.CHUNKS}) as call:
        print(sum([len(chunk) async for chunk in call.output("numbers")]), "bytes in chunks")


if __name__ == "__main__":
    asyncio.run(main())
