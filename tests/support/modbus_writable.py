"""A Modbus TCP server whose holding registers can be written; register 0 counts the reads. Written from the specification."""
import struct

from .modbus import CountingServer


class WritableServer(CountingServer):
    def __init__(self, registers: int):
        self.registers = [0] * registers
        super().__init__(0)

    def read(self, address: int, count: int) -> bytes | None:
        if count == 0 or address + count > len(self.registers):
            return None
        with self.lock:
            self.registers[0] = (self.registers[0] + 1) % 65536
            return struct.pack(f">{count}H", *self.registers[address:address + count])

    def write(self, address: int, values: list[int]) -> bool:
        if address + len(values) > len(self.registers):
            return False
        with self.lock:
            self.registers[address:address + len(values)] = values
        return True
