// What the JavaScript clients do: 5,000 operations by 8 workers, each on keys of its own, so that
// every worker knows what it must read. `workload.py` is the same for redis-py.

const OPERATIONS = 5_000;
const WORKERS = 8;

/// Runs the workload. `client` has set, get, incr, hset, hget, mset and mget.
export async function run(name, client) {
  const tally = { client: name, operations: 0, failed: 0, wrong: 0, repeated: 0, longest_ms: 0 };
  const errors = {};
  const worker = async (number) => {
    const may = new Map(); // What a key may hold: the last acknowledged value, and unknown ones.
    let sum = 0;
    let unknown = 0;
    const attempt = async (operation) => {
      const began = performance.now();
      try {
        return [true, await operation()];
      } catch (error) {
        tally.failed += 1;
        const text = `${error.constructor.name}: ${error.message}`;
        errors[text] = (errors[text] ?? 0) + 1;
        return [false];
      } finally {
        tally.longest_ms = Math.max(tally.longest_ms, Math.round(performance.now() - began));
        tally.operations += 1;
        if (tally.operations % 100 === 0) console.log(`at ${tally.operations}`);
      }
    };
    const write = async (keys, value, operation) => {
      const [ok] = await attempt(operation);
      for (const key of keys) may.set(key, ok ? [value] : [...(may.get(key) ?? [null]), value]);
    };
    const read = async (key, operation) => {
      const [ok, found] = await attempt(operation);
      if (ok && !(may.get(key) ?? [null]).includes(found ?? null)) tally.wrong += 1;
    };
    for (let i = 0; i < OPERATIONS / WORKERS; i += 1) {
      const key = (at) => `k:${number}:${at % 37}`;
      const hash = (at) => `h:${number}:${at % 5}`;
      const pair = (at) => ['a', 'b'].map((name) => `{m:${number}:${at % 11}}${name}`);
      const value = `${number}-${i}`;
      switch (i % 7) {
        case 0: await write([key(i)], value, () => client.set(key(i), value)); break;
        case 1: await read(key(i - 1), () => client.get(key(i - 1))); break;
        case 2: {
          const [ok, found] = await attempt(() => client.incr(`n:${number}`));
          if (!ok) { unknown += 1; break; }
          if (found <= sum) tally.wrong += 1;
          // A client that sends an INCR again whose reply was lost may count twice.
          if (found > sum + 1 + unknown) tally.repeated += found - sum - 1 - unknown;
          [sum, unknown] = [found, 0];
          break;
        }
        case 3: await write([hash(i)], value, () => client.hset(hash(i), value)); break;
        case 4: await read(hash(i - 1), () => client.hget(hash(i - 1))); break;
        case 5: await write(pair(i), value, () => client.mset(pair(i), value)); break;
        case 6: {
          await read(pair(i - 1)[0], async () => {
            const [a, b] = await client.mget(pair(i - 1));
            return a === b ? a : `${a} and ${b}`;
          });
          break;
        }
      }
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, number) => worker(number)));
  console.log(JSON.stringify({ ...tally, errors }));
}
