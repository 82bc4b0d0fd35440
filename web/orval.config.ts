import { defineConfig, defineTransformer } from 'orval';

// The typed client of the core, generated from its hand-written description. Not kept in git.
// The fetcher reads JSON: other formats of an answer are for downloads.
const jsonOnly = defineTransformer((spec) => {
  for (const response of Object.values(spec.components?.responses ?? {})) {
    if (!('content' in response)) continue;
    const json = response.content?.['application/json'];
    if (json) response.content = { 'application/json': json };
  }
  return spec;
});

export default defineConfig({
  nexus: {
    input: { target: '../docs/api/openapi.yaml', override: { transformer: jsonOnly } },
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
