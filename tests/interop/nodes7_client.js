// nodes7 over a script: node nodes7_client.js PORT RACK SLOT, on standard input JSON {write: {address: value}, read: [address]}.
// Writes first, then reads; prints JSON {writeBad, readBad, values}. NODE_PATH names the packages (tools/node-peers).
'use strict';
const NodeS7 = require('nodes7');

const [port, rack, slot] = process.argv.slice(2).map(Number);
const script = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const connection = new NodeS7({ silent: true });
const write = Object.entries(script.write || {});

function fail(why) {
  console.log(JSON.stringify({ error: String(why) }));
  process.exit(1);
}

function read(writeBad) {
  if (!script.read || script.read.length === 0) {
    console.log(JSON.stringify({ writeBad }));
    process.exit(0);
  }
  connection.addItems(script.read);
  connection.readAllItems((readBad, values) => {
    console.log(JSON.stringify({ writeBad, readBad, values }));
    process.exit(0);
  });
}

connection.initiateConnection({ port, host: '127.0.0.1', rack, slot, timeout: 3000 }, (error) => {
  if (error !== undefined) fail(error.message || error);
  connection.setTranslationCB((address) => address);
  if (write.length === 0) read(false);
  else if (connection.writeItems(write.map(([a]) => a), write.map(([, v]) => v), read) !== 0) fail('write refused');
});
