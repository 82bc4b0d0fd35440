// Dead letters: what may be shown of a message that nobody could use. Pure.
import type { DeadLetterListItemsItem } from '../../api/gen/model';

export type DeadLetter = DeadLetterListItemsItem;

/** Controls, and characters that turn or hide their neighbours, would make a text look like another one. */
const unsafe = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0;

export const visible = (text: string): string =>
  text.replace(unsafe, (c) => `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`);

export interface Payload {
  text: string;
  isBinary: boolean;
  /** Bytes kept; the message may have had more. */
  kept: number;
}

function bytesOf(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

const hex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join(' ');

/** Text where it is one, with a last character that the end of what is kept may have cut; else its bytes. */
export function payloadOf(letter: DeadLetter): Payload {
  const bytes = bytesOf(letter.payload);
  const isCut = letter.bytes > bytes.length;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: isCut });
    if (count(text, unsafe) <= text.length / 10) return { text: visible(text), isBinary: false, kept: bytes.length };
  } catch {
    // not UTF-8
  }
  return { text: hex(bytes), isBinary: true, kept: bytes.length };
}

const PREVIEW = 120;

export const previewOf = ({ text }: Payload): string => {
  const line = text.replace(/\s+/g, ' ');
  return line.length > PREVIEW ? `${line.slice(0, PREVIEW)}…` : line;
};

export interface LetterGroup {
  /** The newest of them. */
  letter: DeadLetter;
  count: number;
}

/** A publisher that errs errs again and again: one row for a topic and reason, in the order of the newest. */
export function grouped(letters: DeadLetter[]): LetterGroup[] {
  const groups = new Map<string, LetterGroup>();
  for (const letter of letters) {
    const key = JSON.stringify([letter.topic, letter.reason]);
    const held = groups.get(key);
    if (held) held.count++;
    else groups.set(key, { letter, count: 1 });
  }
  return [...groups.values()];
}
