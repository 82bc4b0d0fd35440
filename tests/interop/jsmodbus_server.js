// A Modbus TCP server of jsmodbus, moved by lines on standard input: "set TABLE ADDRESS VALUE...", "get TABLE ADDRESS
// COUNT" (tables hr ir co di), answered by "ok" or the values. Prints "port N" first. NODE_PATH=$(tools/node-peers).
'use strict'
const net = require('net')
const readline = require('readline')
const jsmodbus = require('jsmodbus')

const elements = Number(process.argv[2] || 2000)
const words = () => Buffer.alloc(2 * elements)
const bits = () => Buffer.alloc(Math.ceil(elements / 8))
const tables = { hr: words(), ir: words(), co: bits(), di: bits() }

const listener = new net.Server()
new jsmodbus.server.TCP(listener, { holding: tables.hr, input: tables.ir, coils: tables.co, discrete: tables.di })

function isBits (table) {
  return table === 'co' || table === 'di'
}

function set (table, at, value) {
  if (!isBits(table)) tables[table].writeUInt16BE(value, 2 * at)
  else if (value) tables[table][at >> 3] |= 1 << (at & 7)
  else tables[table][at >> 3] &= ~(1 << (at & 7))
}

function get (table, at) {
  return isBits(table) ? (tables[table][at >> 3] >> (at & 7)) & 1 : tables[table].readUInt16BE(2 * at)
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  const [verb, table, ...numbers] = line.split(' ')
  const [at, ...rest] = numbers.map(Number)
  if (verb === 'set') {
    rest.forEach((value, i) => set(table, at + i, value))
    console.log('ok')
  } else {
    console.log([table, at, ...Array.from({ length: rest[0] || 1 }, (_, i) => get(table, at + i))].join(' '))
  }
}).on('close', () => process.exit(0))

listener.listen(0, '127.0.0.1', () => console.log(`port ${listener.address().port}`))
