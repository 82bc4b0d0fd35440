// What the pages ask the core, as TanStack Query options. Live values stay out of here (src/live).
import { queryOptions } from '@tanstack/react-query';
import {
  getAuthState,
  getDevice,
  getDevicePlan,
  getIngestion,
  getLedger,
  getMe,
  getTag,
  listDeadLetters,
  listDevices,
  listDrivers,
  listTags,
} from './gen/client';
import { type Sample, sampled } from './rate';
import type { Device, Ingestion, Tag } from './gen/model';

const PAGE = 1000;
/** Lists are held whole up to here; beyond it the search field narrows them down on the server. */
export const LIST_CAP = 20_000;

export interface Listing<T> {
  items: T[];
  isCut: boolean;
}

interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

async function allPages<T>(load: (cursor?: string) => Promise<Page<T>>): Promise<Listing<T>> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const page = await load(cursor);
    items.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined && items.length < LIST_CAP);
  return { items, isCut: cursor !== undefined };
}

export const authStateQuery = queryOptions({
  queryKey: ['auth-state'],
  queryFn: ({ signal }) => getAuthState({ signal }),
  staleTime: 0,
});

export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: ({ signal }) => getMe({ signal }),
  staleTime: Infinity,
  retry: false,
});

/** Devices also appear and go by other hands; their states come live. */
export const devicesQuery = queryOptions({
  queryKey: ['devices'],
  refetchInterval: 30_000,
  queryFn: ({ signal }): Promise<Listing<Device>> =>
    allPages((cursor) => listDevices({ limit: PAGE, cursor }, { signal })),
});

export const deviceQuery = (id: string) =>
  queryOptions({ queryKey: ['devices', id], queryFn: ({ signal }) => getDevice(id, { signal }) });

export const tagsQuery = (device?: string) =>
  queryOptions({
    queryKey: ['tags', device ?? '*'],
    queryFn: ({ signal }): Promise<Listing<Tag>> =>
      allPages((cursor) => listTags({ limit: PAGE, cursor, device }, { signal })),
  });

export const tagQuery = (device: string, id: string) =>
  queryOptions({ queryKey: ['tag', device, id], queryFn: ({ signal }) => getTag(device, id, { signal }) });

/** The protocols of the installation change with its version only. */
export const driversQuery = queryOptions({
  queryKey: ['drivers'],
  queryFn: async ({ signal }) => (await listDrivers({ signal })).items,
  staleTime: Infinity,
});

/** Achieved rates move while somebody looks. */
export const planQuery = (device: string) =>
  queryOptions({
    queryKey: ['plan', device],
    queryFn: ({ signal }) => getDevicePlan(device, { signal }),
    refetchInterval: 5000,
    retry: false,
  });

export const ledgerQuery = queryOptions({
  queryKey: ['ledger'],
  queryFn: ({ signal }) => getLedger({ signal }),
  refetchInterval: 5000,
  retry: false,
});

/** With the rate since the answer before. */
export const ingestQuery = queryOptions({
  queryKey: ['ingest'],
  queryFn: async ({ signal, client }): Promise<Sample<Ingestion>> => {
    const before = client.getQueryData<Sample<Ingestion>>(['ingest']);
    return sampled(await getIngestion({ signal }), Date.now(), (i) => i.totals.points, before);
  },
  refetchInterval: 5000,
  retry: false,
});

export const deadLettersQuery = queryOptions({
  queryKey: ['dead-letters'],
  queryFn: async ({ signal }) => (await listDeadLetters({ limit: 100 }, { signal })).items,
  refetchInterval: 5000,
  retry: false,
});
