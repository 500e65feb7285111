// `run.py node ioredis.mjs RESP`: ioredis with its defaults.
import { createRequire } from 'node:module';
import { run } from './workload.mjs';

const { Cluster } = createRequire(`${process.cwd()}/`)('ioredis');
const [resp, ...addresses] = process.argv.slice(2);
const nodes = addresses.map((address) => {
  const [host, port] = address.split(':');
  return { host, port: Number(port) };
});
const cluster = new Cluster(nodes, { redisOptions: { protocol: Number(resp) } });
cluster.on('error', () => {});
await run(`ioredis RESP${resp}`, {
  set: (key, value) => cluster.set(key, value),
  get: (key) => cluster.get(key),
  incr: (key) => cluster.incr(key),
  hset: (key, value) => cluster.hset(key, 'field', value),
  hget: (key) => cluster.hget(key, 'field'),
  mset: ([a, b], value) => cluster.mset(a, value, b, value),
  mget: (keys) => cluster.mget(keys),
});
cluster.disconnect();
