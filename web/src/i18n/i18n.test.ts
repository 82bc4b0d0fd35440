import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import de from './de.json';
import en from './en.json';

function leaves(tree: object, path = ''): Map<string, string> {
  const out = new Map<string, string>();
  for (const [key, value] of Object.entries(tree))
    if (typeof value === 'string') out.set(path + key, value);
    else leaves(value as object, `${path}${key}.`).forEach((v, k) => out.set(k, v));
  return out;
}

const english = leaves(en);
const german = leaves(de);
const holes = (text: string) => [...text.matchAll(/\{\{(\w+)\}\}/g)].map((m) => m[1]).toSorted();

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((f) => {
    const path = join(dir, f.name);
    if (f.isDirectory()) return f.name === 'gen' ? [] : sources(path);
    return /\.tsx?$/.test(f.name) && !f.name.includes('.test.') ? [readFileSync(path, 'utf8')] : [];
  });
}

describe('languages', () => {
  it('have the same keys', () => expect([...german.keys()].toSorted()).toEqual([...english.keys()].toSorted()));

  it.each([...english])('%s has the same holes', (key, text) =>
    expect(holes(german.get(key) ?? '')).toEqual(holes(text)),
  );

  it('know every key that the sources name', () => {
    const used = sources(join(import.meta.dirname, '..')).flatMap((text) =>
      [...text.matchAll(/\bt\(\s*'([a-z_0-9.]+)'/gi)].map((m) => m[1] ?? ''),
    );
    expect(used.length).toBeGreaterThan(50);
    const missing = used.filter((key) => !english.has(key) && !english.has(`${key}_other`));
    expect([...new Set(missing)]).toEqual([]);
  });

  it('never tell people to try again later', () => {
    const lazy = /try again later|versuchen sie es später/i;
    expect([...english, ...german].filter(([, text]) => lazy.test(text))).toEqual([]);
  });
});
