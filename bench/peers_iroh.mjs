// bench/peers' node of iroh: serves a file, or fetches one. Its orders and answers are lines of words.
//   node peers_iroh.mjs PACKAGE_FOLDER HOME serve FILE     says: ready HASH NODE ADDRESS
//   node peers_iroh.mjs PACKAGE_FOLDER HOME fetch          says: ready; then `get HASH NODE ADDRESS` is answered with
//                                                          `got`, and `save HASH FILE` with `saved`
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const [folder, home, role, file] = process.argv.slice(2)
const iroh = createRequire(import.meta.url)(folder)
const node = await iroh.Iroh.persistent(home, { ipv4Addr: '127.0.0.1:0', nodeDiscovery: 'None' })
const say = (...words) => console.log(words.join(' '))

// A call that tells its progress to a callback, as a promise of the event that ends it.
function finished(begin) {
  return new Promise((resolve, reject) => {
    begin((error, event) => {
      if (error || event.abort != null) reject(error ?? new Error(event.abort.error))
      else if (event.allDone != null) resolve(event.allDone)
    }).catch(reject)
  })
}

if (role === 'serve') {
  const added = await finished(on => node.blobs.addFromPath(file, true, iroh.SetTagOption.auto(), { wrap: false }, on))
  const here = await node.net.nodeAddr()
  say('ready', added.hash, here.nodeId, here.addresses.find(a => a.startsWith('127.')))
} else {
  say('ready')
}
for await (const line of createInterface({ input: process.stdin })) {
  const [order, hash, ...rest] = line.split(' ')
  if (order === 'get') {
    const from = [{ nodeId: rest[0], addresses: [rest[1]] }]
    const how = new iroh.BlobDownloadOptions('Raw', from, iroh.SetTagOption.auto())
    await finished(on => node.blobs.download(hash, how, on))
    say('got')
  } else if (order === 'save') {
    await node.blobs.export(hash, rest[0], 'Blob', 'Copy')
    say('saved')
  }
}
await node.node.shutdown()
process.exit(0)
