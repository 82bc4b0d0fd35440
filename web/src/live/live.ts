// The live store and socket of this page, and the hooks by which components see them.
import { useCallback, useEffect, useSyncExternalStore } from 'react';
import type { DeviceStatus, Problem } from '../api/gen/model';
import type { LinkState } from './link';
import { LiveSocket } from './socket';
import { LiveStore, type LiveValue } from './store';

let refused: () => void = () => undefined;
let failed: (problem: Problem) => void = () => undefined;

/** What the application does when the socket is refused (session gone?) or the core reports a problem on it. */
export function onLiveTrouble(handlers: { refused: () => void; problem: (problem: Problem) => void }): void {
  refused = handlers.refused;
  failed = handlers.problem;
}

export const liveStore = new LiveStore();
export const liveSocket = new LiveSocket(liveStore, {
  url: `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/api/v1/ws`,
  onRefused: () => refused(),
  onProblem: (problem) => failed(problem),
});

export function useLiveValue(tag: string): LiveValue | undefined {
  useEffect(() => liveSocket.watch(tag), [tag]);
  const subscribe = useCallback((listener: () => void) => liveStore.onValue(tag, listener), [tag]);
  return useSyncExternalStore(subscribe, () => liveStore.value(tag));
}

export function useDeviceStatus(id: string): DeviceStatus | undefined {
  const subscribe = useCallback((listener: () => void) => liveStore.onDevice(id, listener), [id]);
  return useSyncExternalStore(subscribe, () => liveStore.device(id));
}

export function useLinkState(): LinkState {
  return useSyncExternalStore(liveSocket.link.subscribe, liveSocket.link.get);
}
