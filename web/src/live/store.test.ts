import { describe, expect, it, vi } from 'vitest';
import { LiveStore } from './store';

function paced() {
  const queue: (() => void)[] = [];
  const store = new LiveStore({ later: (run) => void queue.push(run) });
  return { store, frame: () => queue.splice(0).forEach((run) => run()), queue };
}

describe('LiveStore', () => {
  it('tells a listener once per frame, however many values came', () => {
    const { store, frame, queue } = paced();
    const listener = vi.fn();
    store.onValue('a/x', listener);
    for (let t = 1; t <= 100; t++) store.putValue('a/x', { t, value: t, quality: 192 });
    expect(queue).toHaveLength(1);
    expect(listener).not.toHaveBeenCalled();
    frame();
    expect(listener).toHaveBeenCalledTimes(1);
    expect(store.value('a/x')?.value).toBe(100);
  });

  it('schedules nothing for tags that nobody shows', () => {
    const { store, queue } = paced();
    store.putValue('a/x', { t: 1, value: 1, quality: 192 });
    expect(queue).toHaveLength(0);
    expect(store.value('a/x')?.value).toBe(1);
  });

  it('drops a value older than the one it holds', () => {
    const { store } = paced();
    store.putValue('a/x', { t: 2, value: 'new', quality: 192 });
    store.putValue('a/x', { t: 1, value: 'old', quality: 192 });
    expect(store.value('a/x')?.value).toBe('new');
  });

  it('hands every value to a tap, and none after it has gone', () => {
    const { store } = paced();
    const seen: number[] = [];
    const stop = store.tap('a/x', (v) => seen.push(v.t));
    store.putValue('a/x', { t: 1, value: 1, quality: 192 });
    store.putValue('a/x', { t: 2, value: 2, quality: 192 });
    stop();
    store.putValue('a/x', { t: 3, value: 3, quality: 192 });
    expect(seen).toEqual([1, 2]);
  });

  it('does not call a listener that has left before the frame', () => {
    const { store, frame } = paced();
    const listener = vi.fn();
    const stop = store.onDevice('d', listener);
    store.putDevice('d', { state: 'online' });
    stop();
    frame();
    expect(listener).not.toHaveBeenCalled();
  });
});
