import { createReadStream, createWriteStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

/** Writes `x.gz` beside every asset worth it, so that the core serves compressed files without spending CPU. */
function gzipAssets(): Plugin {
  return {
    name: 'gzip-assets',
    apply: 'build',
    async closeBundle() {
      const dir = join(import.meta.dirname, 'dist', 'assets');
      const files = (await readdir(dir)).filter((f) => /\.(js|css|svg|json)$/.test(f));
      await Promise.all(
        files.map((f) =>
          pipeline(createReadStream(join(dir, f)), createGzip({ level: 9 }), createWriteStream(join(dir, `${f}.gz`))),
        ),
      );
    },
  };
}

const core = process.env['NEXUS_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react(), gzipAssets()],
  // The core replaces the placeholder by a fresh nonce in every answer and names it in its Content-Security-Policy.
  html: { cspNonce: '__CSP_NONCE__' },
  build: { target: 'es2023', assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 900 },
  server: { proxy: { '/api': { target: core, ws: true } } },
});
