// What a trend shows, as its address: pens and either a window that ends now or a fixed range. A link shares the view.

export const MAX_PENS = 8;
export const WINDOWS = ['1m', '5m', '15m', '1h', '8h', '1d', '7d'] as const;
export type Window = (typeof WINDOWS)[number];

const UNIT_MS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

export const windowMs = (w: Window): number => Number(w.slice(0, -1)) * (UNIT_MS[w.slice(-1)] ?? 0);

export interface TrendSearch {
  /** `device/tag`, separated by commas. */
  pens?: string;
  win?: Window;
  from?: number;
  to?: number;
}

const isWindow = (x: unknown): x is Window => (WINDOWS as readonly unknown[]).includes(x);
const time = (x: unknown): number | undefined => (typeof x === 'number' && Number.isFinite(x) ? x : undefined);

export function parseTrendSearch(s: Record<string, unknown>): TrendSearch {
  const from = time(s['from']);
  const to = time(s['to']);
  const isFixed = from !== undefined && to !== undefined && from < to;
  const pens = typeof s['pens'] === 'string' && s['pens'] !== '' ? s['pens'] : undefined;
  return {
    pens,
    win: isWindow(s['win']) ? s['win'] : undefined,
    from: isFixed ? from : undefined,
    to: isFixed ? to : undefined,
  };
}

export const pensOf = (search: TrendSearch): string[] =>
  [...new Set((search.pens ?? '').split(',').filter((p) => p.includes('/')))].slice(0, MAX_PENS);
