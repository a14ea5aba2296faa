// Answers requests with rattler: a JSON object a line on standard input, an answer a line on standard output.
//   {"specs": [...], "channels": [URL...], "platforms": [...], "favored": [...]}  ->  {"records": ["URL"...]} or {"error": "..."}
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const rattler = createRequire(import.meta.url)('@conda-org/rattler'); // its ES module is for bundlers

// Channels are on loopback, whatever they are called.
const [alias, loopback] = process.argv.slice(2);
const fetchAnywhere = globalThis.fetch;
globalThis.fetch = (resource, options) => {
  if (typeof resource === 'string') return fetchAnywhere(resource.replace(alias, loopback), options);
  if (!resource.url.startsWith(alias)) return fetchAnywhere(resource, options);
  return fetchAnywhere(resource.url.replace(alias, loopback), { method: resource.method, headers: resource.headers, ...options });
};

const answer = async ({ specs, channels, platforms, favored }) => {
  const begin = performance.now();
  try {
    const solved = await rattler.simpleSolve(specs, channels, platforms, favored ?? undefined);
    return { records: solved.map((p) => p.url), ms: performance.now() - begin };
  } catch (e) {
    return { error: String(e?.message ?? e), ms: performance.now() - begin };
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + '\n');
}
