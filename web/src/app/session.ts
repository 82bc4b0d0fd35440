// Who is logged in, and what follows from logging in and out.
import { type QueryClient, useQuery } from '@tanstack/react-query';
import { setCsrfToken } from '../api/fetcher';
import { getMe, logOut } from '../api/gen/client';
import type { Login, Me, Permission } from '../api/gen/model';
import { isStatus } from '../api/problem';
import { meQuery } from '../api/queries';
import { liveSocket, liveStore } from '../live/live';

/** The user of the session cookie; null when there is none. */
export async function loadMe(client: QueryClient): Promise<Me | null> {
  const held = client.getQueryData(meQuery.queryKey);
  if (held) return held;
  try {
    return remember(client, await getMe());
  } catch (error) {
    if (isStatus(error, 401)) return null;
    throw error;
  }
}

function remember(client: QueryClient, me: Me): Me {
  setCsrfToken(me.csrf_token);
  client.setQueryData(meQuery.queryKey, me);
  liveSocket.start();
  return me;
}

export async function enter(client: QueryClient, login: Login): Promise<void> {
  setCsrfToken(login.csrf_token);
  client.clear();
  remember(client, { csrf_token: login.csrf_token, ...(await getMe()) });
}

/** Forgets everything of the session on this side. */
export function forget(client: QueryClient): void {
  liveSocket.stop();
  liveStore.clear();
  setCsrfToken('');
  client.clear();
}

export async function leave(client: QueryClient): Promise<void> {
  await logOut();
  forget(client);
}

export function usePermission(permission: Permission): boolean {
  return useQuery(meQuery).data?.permissions.includes(permission) ?? false;
}
