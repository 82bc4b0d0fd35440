// Values per second from a counter that is asked for now and then. Pure.

export interface Sample<T> {
  data: T;
  at: number;
  /** null: not known yet, or the counter began anew. */
  perSecond: number | null;
}

/** Two answers close together say nothing about a rate. */
const MIN_SPAN_MS = 1000;

export function sampled<T>(data: T, at: number, count: (data: T) => number, before?: Sample<T>): Sample<T> {
  const span = before ? at - before.at : 0;
  const gained = before ? count(data) - count(before.data) : -1;
  return { data, at, perSecond: span >= MIN_SPAN_MS && gained >= 0 ? (gained * 1000) / span : null };
}
