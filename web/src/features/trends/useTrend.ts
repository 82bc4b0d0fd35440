// The data of a trend: history for the range, refined on zoom, with live values appended while it follows the present.
import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useReducer, useRef } from 'react';
import { queryHistory } from '../../api/gen/client';
import type { History } from '../../api/gen/model';
import { liveSocket, liveStore } from '../../live/live';
import { appendLive, dropBefore, emptyPen, holdUntil, type PenColumns, penOfHistory } from './trendData';

const REDRAW_MS = 250;

export interface Range {
  from: number;
  to: number;
}

export interface TrendData {
  columns: PenColumns[];
  range: Range;
  history: History | undefined;
  error: unknown;
  isLoading: boolean;
  refetch: () => void;
}

interface Query {
  pens: string[];
  /** A fixed range, or null to follow the present with `windowMs`. */
  fixed: Range | null;
  windowMs: number;
  maxPoints: number;
}

export function useTrend({ pens, fixed, windowMs, maxPoints }: Query): TrendData {
  const key = pens.join(',');
  const history = useQuery({
    queryKey: ['history', key, fixed?.from ?? windowMs, fixed?.to ?? 'now', maxPoints],
    queryFn: ({ signal }) => {
      const now = liveSocket.link.serverNow();
      const range = fixed ?? { from: now - windowMs, to: now };
      return queryHistory(
        {
          tags: key,
          from: String(Math.floor(range.from)),
          to: String(Math.ceil(range.to)),
          fn: 'minmax',
          max_points: maxPoints,
        },
        { signal },
      );
    },
    enabled: pens.length > 0,
    staleTime: fixed ? 60_000 : 0,
    gcTime: fixed ? 300_000 : 0,
    refetchOnWindowFocus: false,
  });

  const columns = useRef<PenColumns[]>([]);
  const [tick, redraw] = useReducer((n: number) => n + 1, 0);

  useEffect(() => {
    columns.current =
      key === ''
        ? []
        : key.split(',').map((pen, i) => {
            const series = history.data?.series[i];
            const column = series ? penOfHistory(series) : emptyPen();
            const latest = liveStore.value(pen);
            if (!fixed && latest) appendLive(column, latest);
            return column;
          });
    redraw();
  }, [key, fixed, history.data]);

  const isLive = fixed === null;
  useEffect(() => {
    if (!isLive || key === '') return undefined;
    const stops = key.split(',').flatMap((pen, i) => [
      liveSocket.watch(pen),
      liveStore.tap(pen, (value) => {
        const column = columns.current[i];
        if (column) appendLive(column, value);
      }),
    ]);
    const timer = setInterval(redraw, REDRAW_MS);
    return () => {
      clearInterval(timer);
      stops.forEach((stop) => stop());
    };
  }, [key, isLive]);

  const view = useMemo(() => {
    void tick;
    if (fixed) return { range: fixed, columns: [...columns.current] };
    const now = liveSocket.link.serverNow();
    const isConnected = liveSocket.link.get().kind !== 'offline';
    columns.current.forEach((column) => dropBefore(column, now - windowMs));
    return {
      range: { from: now - windowMs, to: now },
      columns: columns.current.map((column) => (isConnected ? holdUntil(column, now) : column)),
    };
  }, [fixed, windowMs, tick]);

  return {
    ...view,
    history: history.data,
    error: history.error,
    isLoading: history.isFetching,
    refetch: () => void history.refetch(),
  };
}
