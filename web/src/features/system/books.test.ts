import { describe, expect, it } from 'vitest';
import type { Ledger, LedgerGap, LedgerRow } from '../../api/gen/model';
import { causes, laneRows, silentGateways, verdictOf } from './books';
import { ledger, row } from './fixtures';

const gap = (cause: string, points: number, last_at: string | null = null): LedgerGap => ({
  cause,
  points,
  numbers: 5,
  last_at,
});

const books = (items: Partial<LedgerRow>[], totals: Partial<Ledger['totals']> = {}): Ledger => ({
  ...ledger,
  items: items.map((x) => ({ ...row, ...x })),
  totals: { ...ledger.totals, ...totals },
});

describe('verdict', () => {
  it('is that every value is accounted for, also while some wait or are on their way', () => {
    expect(verdictOf(ledger)).toEqual({ kind: 'whole', count: 6890 });
    expect(verdictOf(books([{ missing: 3 }], { missing: 3, lost: 0 })).kind).toBe('whole');
  });

  it('is not given for books without entries', () => {
    expect(verdictOf(books([], { batches: 0, points: 0 })).kind).toBe('empty');
  });

  it('tells what was dropped on purpose from what damage took, and from what nobody can count', () => {
    const dropped = [gap('FULL', 40), gap('EXPIRED', 2)];
    expect(verdictOf(books([{ gaps: dropped }], { gap_points: 42 }))).toEqual({ kind: 'dropped', count: 42 });
    const damaged = [...dropped, gap('CORRUPT', 7)];
    expect(verdictOf(books([{ gaps: damaged }], { gap_points: 49 }))).toEqual({ kind: 'damaged', count: 7 });
    expect(verdictOf(books([{ gaps: [gap('CANCELED', 0)] }])).kind).toBe('uncounted');
  });

  it('puts what is lost before everything else', () => {
    const worst = books([{ gaps: [gap('CORRUPT', 7)] }], { gap_points: 7, missing: 5, lost: 2 });
    expect(verdictOf(worst)).toEqual({ kind: 'lost', count: 2 });
  });
});

describe('causes', () => {
  it('are added up over lanes, the largest first, with the latest time', () => {
    const rows = [
      { ...row, gaps: [gap('FULL', 1, '2026-01-01T00:00:00Z'), gap('IO', 9)] },
      { ...row, gaps: [gap('FULL', 20, '2026-02-01T00:00:00Z')] },
    ];
    expect(causes(rows)).toEqual([
      { cause: 'FULL', points: 21, numbers: 10, last_at: '2026-02-01T00:00:00Z' },
      { cause: 'IO', points: 9, numbers: 5, last_at: null },
    ]);
    expect(rows[0]?.gaps[0]?.points).toBe(1);
  });
});

describe('lanes', () => {
  it('take the lives of a spool together and know what waits', () => {
    const [first, ...more] = laneRows(books([{}, { epoch: '2', points: 10, updated_at: null }]));
    expect(more).toEqual([]);
    expect(first).toMatchObject({ gateway: 'gw', lane: 0, points: 6900, batches: 328, updatedAt: row.updated_at });
    expect(first?.waiting?.drain_s).toBe(65);
  });

  it('stand there before anything of them is stored, and without a gateway that speaks for them', () => {
    const rows = laneRows({
      ...ledger,
      items: [{ ...row, gateway: 'foreign.x' }],
      gateways: [{ id: 'new', status: 'unknown', lanes: [{ lane: 1 }] }],
    });
    expect(rows.map(({ key, points, waiting }) => [key, points, waiting !== undefined])).toEqual([
      ['foreign.x/0', 6890, false],
      ['new/1', 0, true],
    ]);
  });
});

it('gateways that are not online are named', () => {
  const gateways: Ledger['gateways'] = [
    { id: 'a', status: 'online', lanes: [] },
    { id: 'b', status: 'offline', lanes: [] },
  ];
  expect(silentGateways({ ...ledger, gateways }).map((g) => g.id)).toEqual(['b']);
});
