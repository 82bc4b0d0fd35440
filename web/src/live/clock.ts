// A tick per second shared by everything that shows an age.
import { useSyncExternalStore } from 'react';
import { liveSocket } from './live';

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let second = 0;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    second += 1;
    listeners.forEach((l) => l());
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The core's time in ms, renewed each second. */
export function useServerNow(): number {
  useSyncExternalStore(subscribe, () => second);
  return liveSocket.link.serverNow();
}
