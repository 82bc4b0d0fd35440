// The frames of the subprotocol nexus.v1.json that the UI uses (docs/api/openapi.yaml, WsClientMessage, WsServerMessage).
import type { DeviceStatus, Problem } from '../api/gen/model';

export const SUBPROTOCOL = 'nexus.v1.json';

export type Scalar = number | string | boolean | null;
export type Row = [alias: number, id: string, topic: string | null, type: string | null, unit: string | null];
export type TimedValue = [alias: number, t: number, value: Scalar, quality: number];

export type ServerFrame =
  | { op: 'hello'; session: string; time: number }
  | { op: 'snap'; id: number; rows: Row[]; vals: TimedValue[] }
  | { op: 'upd'; id: number; t0: number; v: TimedValue[] }
  | { op: 'evt'; id: number; seq: number; kind: 'device'; device_id: string; status: DeviceStatus }
  | { op: 'lag'; id: number; coalesced: number; dropped: number; rate_ms: number }
  | { op: 'err'; id?: number; problem: Problem }
  | { op: 'pong'; time: number }
  | { op: 'bye'; reason: string; retry_ms: number };

export type ClientFrame =
  | { op: 'sub'; id: number; kind: 'tag' | 'device'; ids?: string[]; rate_ms?: number }
  | { op: 'mod'; id: number; add?: string[]; del?: string[] }
  | { op: 'unsub'; id: number }
  | { op: 'ping' };

export function parseFrame(text: string): ServerFrame | null {
  try {
    const frame: unknown = JSON.parse(text);
    return typeof frame === 'object' && frame !== null && 'op' in frame ? (frame as ServerFrame) : null;
  } catch {
    return null;
  }
}
