// Answers of the core as the tests of this page vary them.
import type { Ingestion, Ledger, LedgerRow } from '../../api/gen/model';

export const row: LedgerRow = {
  gateway: 'gw',
  epoch: '9007199254740993',
  lane: 0,
  last_seq: 164,
  batches: 164,
  points: 6890,
  duplicate_batches: 2,
  missing: 0,
  gap_points: 0,
  gaps: [],
  updated_at: '2026-11-25T19:49:22.552591Z',
};

export const ledger: Ledger = {
  items: [row],
  gateways: [
    {
      id: 'gw',
      status: 'online',
      last_seen: '2026-11-25T19:49:11.730Z',
      lanes: [{ lane: 0, waiting_batches: 3, waiting_points: 30, oldest_s: 200, drain_s: 65, is_stalled: false }],
    },
  ],
  totals: {
    batches: 164,
    points: 6890,
    duplicate_batches: 2,
    duplicate_points: 0,
    quarantined_points: 0,
    missing: 0,
    lost: 0,
    gap_points: 0,
    waiting_batches: 3,
    waiting_points: 30,
    dropped_points: 0,
    oldest_s: 200,
  },
};

export const ingestion: Ingestion = {
  service: 'ingest',
  version: '0.1.0',
  broker: {
    url: 'mqtt://127.0.0.1:1883',
    batches: { state: 'online', reason: '', received: 1, bytes_in: 2, reconnects: 0 },
    tags: { state: 'online', reason: '', received: 1, bytes_in: 2, reconnects: 0 },
  },
  historian: {
    url: 'postgres://nexus@db/nexus',
    trouble: null,
    damage: null,
    writers: {
      count: 2,
      busy: 1,
      failing: 0,
      waiting_transactions: 0,
      transaction_points: 5000,
      retries: 0,
      repeated_batches: 0,
      refused_batches: 0,
      refused_points: 0,
      refused_files_removed: 0,
      queued_points: 17,
      is_listening: true,
      items: [
        { state: 'idle', since_s: 0, points: 4000, failures: 0 },
        { state: 'storing', since_s: 12.4, points: 2890, failures: 3 },
      ],
    },
  },
  foreign: { records: 0, points: 0, bytes: 0, stored_messages: 0, dropped_points: 0, trouble: null },
  totals: {
    batches: 164,
    points: 6890,
    duplicate_batches: 2,
    duplicate_points: 0,
    quarantined_points: 0,
    shed_batches: 0,
    acks_sent: 90,
    buffer_usage: 0.125,
  },
  errors: { parse: 4, write: 0, connection: 0, buffer: 0, spool: 0 },
  skipped_messages: { seq: 689, retained: 0, system: 0, redelivered: 0 },
  dead_letters: { seen: 4, kept: 4 },
  batch_duration: { count: 164, p50_s: 0.005, p95_s: 0.02 },
  lag_seconds: 0.019935,
};
