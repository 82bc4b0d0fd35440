import { describe, expect, it } from 'vitest';
import { MAX_PENS, parseTrendSearch, pensOf, windowMs } from './search';

describe('trend address', () => {
  it('drops what makes no sense', () => {
    expect(parseTrendSearch({ pens: 5, win: '3y', from: 10, to: 5 })).toEqual({});
    expect(parseTrendSearch({ pens: 'a/b', win: '1h', from: 5, to: 10 })).toEqual({
      pens: 'a/b',
      win: '1h',
      from: 5,
      to: 10,
    });
  });

  it('has each pen once and not more than fit', () => {
    expect(pensOf({ pens: 'a/b,a/b,nonsense,a/c' })).toEqual(['a/b', 'a/c']);
    expect(pensOf({ pens: Array.from({ length: 20 }, (_, i) => `d/${i}`).join(',') })).toHaveLength(MAX_PENS);
  });

  it('knows the length of its windows', () => expect(windowMs('15m')).toBe(900_000));
});
