// `run.py node node-redis.mjs RESP [again]`: node-redis with its defaults; with `again` as
// docs/clients.md advises: it asks for the slots soon after a node is lost, and what was lost with
// the connection is sent again.
import { createRequire } from 'node:module';
import { run } from './workload.mjs';

const { createCluster } = createRequire(`${process.cwd()}/`)('redis');
const [resp, ...rest] = process.argv.slice(2);
const isAgain = rest[0] === 'again' && rest.shift() !== undefined;
const options = isAgain ? { topologyRefreshOnReconnectionAttemptStrategy: 100 } : {};
const rootNodes = rest.map((address) => ({ url: `redis://${address}` }));
const cluster = createCluster({ rootNodes, RESP: Number(resp), ...options });
cluster.on('error', () => {});
cluster.on('node-error', () => {});
await cluster.connect();

/// Whether it is the connection that failed. Every other error is the server's word.
const isLost = (error) =>
  ['DisconnectsClientError', 'SocketClosedUnexpectedlyError'].includes(error.constructor.name) ||
  ['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes(error.code);

/// Does an operation again whose connection was lost: only for what may be done twice.
async function again(operation) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await operation();
    } catch (error) {
      if (!isLost(error) || attempt === 10) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50 * attempt));
    }
  }
}

const operations = {
  set: (key, value) => cluster.set(key, value),
  get: (key) => cluster.get(key),
  incr: (key) => cluster.incr(key),
  hset: (key, value) => cluster.hSet(key, 'field', value),
  hget: (key) => cluster.hGet(key, 'field'),
  mset: ([a, b], value) => cluster.mSet([[a, value], [b, value]]),
  mget: (keys) => cluster.mGet(keys),
};
const repeated = ([name, operation]) => [name, (...args) => again(() => operation(...args))];
const chosen = isAgain ? Object.fromEntries(Object.entries(operations).map(repeated)) : operations;
await run(`node-redis RESP${resp}${isAgain ? ' again' : ''}`, chosen);
await cluster.destroy();
