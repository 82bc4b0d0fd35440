import { defineConfig } from 'orval';

// The typed client of the core, generated from its hand-written description. Not kept in git.
export default defineConfig({
  nexus: {
    input: { target: '../docs/api/openapi.yaml' },
    output: {
      target: 'src/api/gen/client.ts',
      schemas: 'src/api/gen/model',
      client: 'fetch',
      mode: 'split',
      clean: true,
      override: {
        mutator: { path: './src/api/fetcher.ts', name: 'fetcher' },
        fetch: { includeHttpResponseReturnType: false },
      },
    },
  },
});
