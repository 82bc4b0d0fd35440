import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// The test run of the whole project wants numbers; people want text.
const report = process.env['VITEST_REPORT'];

export default defineConfig({
  plugins: [react()],
  test: {
    environment: 'happy-dom',
    setupFiles: ['./src/test-setup.ts'],
    include: ['src/**/*.test.{ts,tsx}'],
    css: false,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});
