"""A proxy that is far away: delay.py TO LISTEN SECONDS passes TCP on to a port, each byte that much later, each way."""

import asyncio
import sys

to, listen, delay = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])


async def carry(reader, writer):
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()

    async def deliver():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    delivering = asyncio.create_task(deliver())
    while True:
        data = await reader.read(1 << 16)
        queue.put_nowait((loop.time() + delay, data))
        if not data:
            break
    await delivering


async def meet(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to)
    await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer), return_exceptions=True)


async def main():
    server = await asyncio.start_server(meet, "127.0.0.1", listen)
    async with server:
        await server.serve_forever()


asyncio.run(main())
