import { describe, expect, it } from 'vitest';
import { appendLive, badRanges, dropBefore, emptyPen, holdUntil, penOfHistory, valueAt } from './trendData';

const history = {
  tag: 'a/x',
  topic: 'uns/a/x',
  t: [10, 20, 30],
  v: [1, null, 3],
  q: [192, 24, 192],
  raw_count: 9,
  bucket_ms: 10,
  resolution: 'raw' as const,
  truncated: false,
};

describe('trend data', () => {
  it('keeps bad values as gaps and remembers where', () => {
    const pen = penOfHistory(history);
    expect(pen.v).toEqual([1, null, 3]);
    expect(badRanges([pen])).toEqual([[20, 30]]);
  });

  it('takes live values only when they are newer than the history', () => {
    const pen = penOfHistory(history);
    expect(appendLive(pen, { t: 30, value: 9, quality: 192 })).toBe(false);
    expect(appendLive(pen, { t: 31, value: true, quality: 192 })).toBe(true);
    expect(appendLive(pen, { t: 32, value: 5, quality: 8 })).toBe(true);
    expect(pen.v).toEqual([1, null, 3, 1, null]);
  });

  it('drops what left the window but keeps the value that reaches into it', () => {
    const pen = penOfHistory(history);
    dropBefore(pen, 25);
    expect(pen.t).toEqual([20, 30]);
    dropBefore(pen, 1000);
    expect(pen.t).toEqual([30]);
  });

  it('holds the last value up to now without changing the pen', () => {
    const pen = penOfHistory(history);
    expect(holdUntil(pen, 99).t).toEqual([10, 20, 30, 99]);
    expect(holdUntil(pen, 99).v.at(-1)).toBe(3);
    expect(pen.t).toHaveLength(3);
    expect(holdUntil(emptyPen(), 99).t).toEqual([]);
  });

  it('reads the value that held at a time', () => {
    const pen = penOfHistory(history);
    expect([5, 10, 19, 25, 30, 500].map((t) => valueAt(pen, t))).toEqual([null, 1, 1, null, 3, 3]);
  });
});
