// Columns of a trend: history (smallest and largest of each pixel, in the order of their times) with the live tail
// appended. Pure.
import type { HistorySeries } from '../../api/gen/model';
import { qualityKind } from '../../app/format';
import type { LiveValue } from '../../live/store';

/** One pen: equal columns, oldest first; null where there was no good value. Times in ms. */
export interface PenColumns {
  t: number[];
  v: (number | null)[];
  isBad: boolean[];
  rawCount: number;
}

const asNumber = (v: unknown): number | null =>
  typeof v === 'number' && Number.isFinite(v) ? v : typeof v === 'boolean' ? Number(v) : null;

export const emptyPen = (): PenColumns => ({ t: [], v: [], isBad: [], rawCount: 0 });

export function penOfHistory(series: HistorySeries): PenColumns {
  return {
    t: [...series.t],
    v: series.v.map(asNumber),
    isBad: series.q.map((q) => qualityKind(q) === 'bad'),
    rawCount: series.raw_count,
  };
}

/** Values older than the newest one held are already in the history. */
export function appendLive(pen: PenColumns, live: LiveValue): boolean {
  const last = pen.t.at(-1);
  if (last !== undefined && live.t <= last) return false;
  const isBad = qualityKind(live.quality) === 'bad';
  const value = isBad ? null : asNumber(live.value);
  pen.t.push(live.t);
  pen.v.push(value);
  pen.isBad.push(isBad);
  pen.rawCount += 1;
  return true;
}

/** Drops what has left the window, but keeps the value that reaches into it. */
export function dropBefore(pen: PenColumns, from: number): void {
  let n = 0;
  while (n + 1 < pen.t.length && (pen.t[n + 1] ?? Infinity) <= from) n += 1;
  if (n === 0) return;
  for (const column of [pen.t, pen.v, pen.isBad]) column.splice(0, n);
}

/** A value holds until the next one (only changes are stored), so the last one reaches to the right edge. */
export function holdUntil(pen: PenColumns, now: number): PenColumns {
  const last = pen.t.length - 1;
  const lastTime = pen.t[last];
  if (lastTime === undefined || lastTime >= now) return pen;
  return {
    t: [...pen.t, now],
    v: [...pen.v, pen.v[last] ?? null],
    isBad: [...pen.isBad, pen.isBad[last] ?? false],
    rawCount: pen.rawCount,
  };
}

/** Ranges of time in which any pen was bad: drawn hatched. */
export function badRanges(pens: PenColumns[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const pen of pens) {
    for (let i = 0; i < pen.t.length; i++) {
      if (!pen.isBad[i]) continue;
      const start = pen.t[i] ?? 0;
      while (i + 1 < pen.t.length && pen.isBad[i]) i++;
      ranges.push([start, pen.t[i] ?? start]);
    }
  }
  return ranges;
}

/** Value of a pen at a time: the last one at or before it. */
export function valueAt(pen: PenColumns, t: number): number | null {
  let lo = 0;
  let hi = pen.t.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if ((pen.t[mid] ?? 0) <= t) lo = mid + 1;
    else hi = mid;
  }
  return lo === 0 ? null : (pen.v[lo - 1] ?? null);
}
