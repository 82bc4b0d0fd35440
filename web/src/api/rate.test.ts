import { expect, it } from 'vitest';
import { sampled } from './rate';

const n = (x: number) => x;

it('a rate needs two answers and a counter that goes on', () => {
  const first = sampled(100, 1000, n);
  expect(first.perSecond).toBeNull();
  const second = sampled(600, 6000, n, first);
  expect(second.perSecond).toBe(100);
  expect(sampled(600, 11_000, n, second).perSecond).toBe(0);
  expect(sampled(3, 11_000, n, second).perSecond).toBeNull(); // ingestion was started anew
  expect(sampled(700, 6200, n, second).perSecond).toBeNull(); // too close
});
