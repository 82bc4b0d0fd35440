"""A small plant behind pymodbus' own TCP server, in a thread with its own event loop.

Registers (holding, addressed from 0): 0-1 level in percent, float32, big-endian, a saw tooth; 10 a set-point that the
tests write; 20-21 a counter, uint32.
"""
import asyncio
import struct
import threading

from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

HOLDING = 3
STEP_S = 0.1


class Plant:
    def __init__(self):
        self.block = ModbusSequentialDataBlock(1, [0] * 100)  # pymodbus' blocks count from 1
        self.loop = asyncio.new_event_loop()
        self.started = threading.Event()
        self.server: ModbusTcpServer | None = None
        self.port = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Plant":
        self.set_register(10, 1500)
        self.thread.start()
        assert self.started.wait(10), "the Modbus server of the test did not start"
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)

    def set_register(self, address: int, value: int) -> None:
        self.block.setValues(address + 1, [value])

    def register(self, address: int) -> int:
        return self.block.getValues(address + 1, 1)[0]

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.create_task(self._serve())
        self.loop.run_forever()
        if self.server:
            self.loop.run_until_complete(self.server.shutdown())
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _serve(self) -> None:
        context = ModbusServerContext(devices=ModbusDeviceContext(hr=self.block), single=True)
        self.server = ModbusTcpServer(context, address=("127.0.0.1", 0))
        await self.server.listen()
        self.port = self.server.transport.sockets[0].getsockname()[1]
        self.started.set()
        step = 0
        while True:
            level = struct.unpack(">HH", struct.pack(">f", 20 + step % 600 / 10))
            self.block.setValues(1, list(level))
            self.block.setValues(21, [step >> 16, step & 0xFFFF])
            step += 1
            await asyncio.sleep(STEP_S)
