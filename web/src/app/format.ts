// Values, ages and times as people read them. Pure.
import type { Scalar } from '../live/protocol';

export const GOOD = 192;
export const UNCERTAIN = 64;

export type QualityKind = 'good' | 'uncertain' | 'bad' | 'none';

/** The two high bits of an OPC quality tell the kind; the rest says why. */
export function qualityKind(quality: number | null | undefined): QualityKind {
  if (quality === null || quality === undefined) return 'none';
  if ((quality & 0xc0) === GOOD) return 'good';
  return (quality & 0xc0) === UNCERTAIN ? 'uncertain' : 'bad';
}

/** Sub-status of a bad quality, as a key of the language files. */
export function qualityReason(quality: number): string {
  const reasons: Record<number, string> = {
    4: 'config_error',
    8: 'not_connected',
    12: 'device_failure',
    16: 'sensor_failure',
    20: 'last_known',
    24: 'timeout',
    28: 'out_of_service',
  };
  return reasons[quality & 0x3c] ?? 'bad';
}

const formats = new Map<string, Intl.NumberFormat>();

function numberFormat(language: string, digits: number): Intl.NumberFormat {
  const key = `${language}/${digits}`;
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.NumberFormat(language, { maximumFractionDigits: digits })));
  return format;
}

/** About five significant digits: process values are no more exact, and columns stay calm. */
export function formatNumber(value: number, language = 'en'): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return Math.abs(value) < 1e15 ? numberFormat(language, 0).format(value) : String(value);
  const magnitude = Math.abs(value);
  if (magnitude >= 1e9 || magnitude < 1e-4) return value.toExponential(3);
  const digits = Math.max(0, Math.min(6, 4 - Math.floor(Math.log10(magnitude))));
  return numberFormat(language, Math.min(digits, magnitude >= 1 ? 3 : 6)).format(value);
}

export interface ScalarWords {
  on: string;
  off: string;
}

export function formatScalar(value: Scalar | undefined, language: string, words: ScalarWords): string {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'boolean') return value ? words.on : words.off;
  return typeof value === 'number' ? formatNumber(value, language) : value;
}

/** `420 ms`, `12 s`, `3 min 20 s`, `5 h 12 min`, `3 d 4 h`. */
export function formatAge(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

export function formatMs(ms: number | undefined): string {
  if (ms === undefined) return '';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const pad = (n: number) => String(n).padStart(2, '0');

export function formatClock(t: number): string {
  const d = new Date(t);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

/** ISO order in English, where the order of day and month is anybody's guess; otherwise as the language writes it. */
export function formatDateTime(t: number, language: string): string {
  const d = new Date(t);
  if (!language.startsWith('en')) return d.toLocaleString(language, { dateStyle: 'short', timeStyle: 'medium' });
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${formatClock(t)}`;
}

const DURATION = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)$/;
const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `250ms`, `1s`, `1.5m` in milliseconds; null when it is no duration. */
export function parseDuration(text: string): number | null {
  const match = DURATION.exec(text.trim());
  return match ? Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0) : null;
}

export const tagKey = (tag: { device_id: string; id: string }): string => `${tag.device_id}/${tag.id}`;
