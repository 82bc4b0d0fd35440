import { describe, expect, it } from 'vitest';
import {
  formatAge,
  formatDateTime,
  formatMs,
  formatNumber,
  formatScalar,
  parseDuration,
  qualityKind,
  qualityReason,
} from './format';

describe('format', () => {
  it.each([
    [0, '0'],
    [1500, '1,500'],
    [84.123456, '84.123'],
    [0.00123456, '0.001235'],
    [-12.5, '-12.5'],
    [1e-7, '1.000e-7'],
    [Number.NaN, 'NaN'],
  ])('number %s', (n, text) => expect(formatNumber(n)).toBe(text));

  it('writes numbers as the language does', () => expect(formatNumber(1234.5, 'de')).toBe('1.234,5'));

  it.each([
    [0, '0 s'],
    [59_999, '59 s'],
    [200_000, '3 min 20 s'],
    [18_720_000, '5 h 12 min'],
    [273_600_000, '3 d 4 h'],
    [-5, '0 s'],
  ])('age %s', (ms, text) => expect(formatAge(ms)).toBe(text));

  it.each([
    [2.24, '2.2 ms'],
    [212.4, '212 ms'],
    [2100, '2.1 s'],
    [undefined, ''],
  ])('%s ms', (ms, text) => expect(formatMs(ms)).toBe(text));

  it.each([
    [192, 'good'],
    [216, 'good'],
    [64, 'uncertain'],
    [84, 'uncertain'],
    [0, 'bad'],
    [24, 'bad'],
    [null, 'none'],
    [undefined, 'none'],
  ])('quality %s', (q, kind) => expect(qualityKind(q)).toBe(kind));

  it('names the sub-status', () => {
    expect(qualityReason(24)).toBe('timeout');
    expect(qualityReason(8)).toBe('not_connected');
    expect(qualityReason(0)).toBe('bad');
  });

  it.each([
    ['250ms', 250],
    ['1s', 1000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
    ['5', null],
    ['1 d', null],
    ['', null],
  ])('duration %s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it('writes times of the day in 24 hours', () => {
    const t = new Date(2026, 10, 3, 20, 5, 9).getTime();
    expect(formatDateTime(t, 'en')).toBe('2026-11-03 20:05:09');
    expect(formatDateTime(t, 'de')).toBe('03.11.26, 20:05:09');
  });

  it('shows switches in words and nothing as a dash', () => {
    const words = { on: 'On', off: 'Off' };
    expect(formatScalar(true, 'en', words)).toBe('On');
    expect(formatScalar(null, 'en', words)).toBe('–');
    expect(formatScalar('run', 'en', words)).toBe('run');
  });
});
