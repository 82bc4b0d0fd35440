import { describe, expect, it } from 'vitest';
import { type DeadLetter, grouped, payloadOf, previewOf, visible } from './letters';

const letter = (bytes: number[] | string, more: Partial<DeadLetter> = {}): DeadLetter => {
  const raw = typeof bytes === 'string' ? [...new TextEncoder().encode(bytes)] : bytes;
  return {
    time: '2026-11-25T19:49:22Z',
    topic: 'uns/a',
    reason: 'no value',
    bytes: raw.length,
    payload: btoa(String.fromCharCode(...raw)),
    ...more,
  };
};

describe('payload', () => {
  it('is shown as text where it is text', () => {
    const text = '{"t": "21 °C",\n "x": 1}';
    expect(payloadOf(letter(text))).toMatchObject({ text, isBinary: false, kept: 24 });
    expect(previewOf(payloadOf(letter(text)))).toBe('{"t": "21 °C", "x": 1}');
    expect(previewOf(payloadOf(letter('x'.repeat(500))))).toHaveLength(121);
  });

  it('is shown as bytes where it is none', () => {
    expect(payloadOf(letter([0x82, 0xa1, 0xff]))).toMatchObject({ text: '82 a1 ff', isBinary: true });
    expect(payloadOf(letter([1, 2, 3, 65]))).toMatchObject({ text: '01 02 03 41', isBinary: true });
  });

  it('may be cut within a character', () => {
    const cut = letter([0x61, 0xc3], { bytes: 5000 });
    expect(payloadOf(cut)).toMatchObject({ text: 'a', isBinary: false, kept: 2 });
    expect(payloadOf(letter([0x61, 0xc3])).isBinary).toBe(true);
  });

  it('does not fail on what is no base64', () => {
    expect(payloadOf(letter('', { payload: '*', bytes: 9 })).kept).toBe(0);
  });

  it('cannot turn or hide the text around it', () => {
    expect(visible('a\u202eb\u200bc\u001b[1m')).toBe('a\\u202eb\\u200bc\\u001b[1m');
    expect(visible('Größe 21 °C 日本\n')).toBe('Größe 21 °C 日本\n');
  });
});

it('repeated letters are one row with the newest of them', () => {
  const a = letter('new');
  expect(grouped([a, letter('x', { topic: 'uns/b' }), letter('old')])).toEqual([
    { letter: a, count: 2 },
    { letter: letter('x', { topic: 'uns/b' }), count: 1 },
  ]);
});
