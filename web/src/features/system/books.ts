// What the books of delivery come to: one verdict, and a row for each lane of each gateway. Pure.
import type { Ledger, LedgerGateway, LedgerGap, LedgerLane, LedgerRow } from '../../api/gen/model';

/** Worst first: what is found first is the verdict. */
export type VerdictKind = 'lost' | 'damaged' | 'dropped' | 'uncounted' | 'empty' | 'whole';

export interface Verdict {
  kind: VerdictKind;
  /** Batches when lost, else values. */
  count: number;
}

const damages = ['CORRUPT', 'IO', 'CANCELED'];
const isDamage = ({ cause }: LedgerGap) => damages.includes(cause);
const pointsOf = (gaps: { points: number }[]): number => gaps.reduce((sum, gap) => sum + gap.points, 0);

/** Gap records of several lanes or epochs, one for each cause, the largest first. */
export function causes(rows: LedgerRow[]): LedgerGap[] {
  const all = new Map<string, LedgerGap>();
  for (const gap of rows.flatMap((row) => row.gaps)) {
    const held = all.get(gap.cause);
    if (!held) all.set(gap.cause, { ...gap });
    else {
      held.numbers += gap.numbers;
      held.points += gap.points;
      if ((gap.last_at ?? '') > (held.last_at ?? '')) held.last_at = gap.last_at;
    }
  }
  return [...all.values()].toSorted((a, b) => b.points - a.points || a.cause.localeCompare(b.cause));
}

/** The gap records of every row count, also where their points could not be counted. */
export function verdictOf({ items, totals }: Ledger): Verdict {
  const gaps = causes(items);
  const damaged = pointsOf(gaps.filter(isDamage));
  if (totals.lost > 0) return { kind: 'lost', count: totals.lost };
  if (damaged > 0) return { kind: 'damaged', count: damaged };
  if (totals.gap_points > 0) return { kind: 'dropped', count: totals.gap_points };
  if (gaps.length > 0) return { kind: 'uncounted', count: 0 };
  return totals.batches === 0 ? { kind: 'empty', count: 0 } : { kind: 'whole', count: totals.points };
}

/** Numbers of other people's tag messages are ingestion's own. */
export const isForeign = (gateway: string): boolean => gateway.startsWith('foreign.');

export interface LaneRow {
  key: string;
  gateway: string;
  lane: number;
  /** As the gateway has last said; undefined when it has said nothing of this lane. */
  waiting?: LedgerLane;
  points: number;
  batches: number;
  duplicates: number;
  missing: number;
  dropped: number;
  gaps: LedgerGap[];
  updatedAt: string | null;
}

const sum = (rows: LedgerRow[], member: 'points' | 'batches' | 'duplicate_batches' | 'missing' | 'gap_points') =>
  rows.reduce((total, row) => total + row[member], 0);

const latest = (rows: LedgerRow[]) =>
  rows.map((row) => row.updated_at).reduce((a, b) => ((a ?? '') > (b ?? '') ? a : b), null);

/** The lives of a gateway's spool (epochs) together; a lane from which nothing came yet has a row, too. */
export function laneRows({ items, gateways }: Ledger): LaneRow[] {
  const said = gateways.flatMap(({ id, lanes }) => lanes.map((lane) => ({ gateway: id, lane })));
  const keys = new Map<string, [string, number]>();
  for (const { gateway, lane } of items) keys.set(`${gateway}/${lane}`, [gateway, lane]);
  for (const { gateway, lane } of said) keys.set(`${gateway}/${lane.lane}`, [gateway, lane.lane]);
  return [...keys].map(([key, [gateway, lane]]) => {
    const rows = items.filter((row) => row.gateway === gateway && row.lane === lane);
    return {
      key,
      gateway,
      lane,
      waiting: said.find((x) => x.gateway === gateway && x.lane.lane === lane)?.lane,
      points: sum(rows, 'points'),
      batches: sum(rows, 'batches'),
      duplicates: sum(rows, 'duplicate_batches'),
      missing: sum(rows, 'missing'),
      dropped: sum(rows, 'gap_points'),
      gaps: causes(rows),
      updatedAt: latest(rows),
    };
  });
}

/** What waits in them is known as of their last word only. */
export const silentGateways = ({ gateways }: Ledger): LedgerGateway[] => gateways.filter((g) => g.status !== 'online');
