import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LiveSocket } from './socket';
import { LiveStore } from './store';

class FakeWebSocket extends EventTarget {
  readyState = 1;
  sent: Record<string, unknown>[] = [];
  send(text: string) {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close() {
    this.readyState = 3;
    this.dispatchEvent(new Event('close'));
  }
  say(frame: object) {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(frame) }));
  }
}

function setUp() {
  const opened: FakeWebSocket[] = [];
  const store = new LiveStore({ later: (run) => run() });
  const onRefused = vi.fn();
  const onProblem = vi.fn();
  const socket = new LiveSocket(store, {
    url: 'ws://test',
    onRefused,
    onProblem,
    open: () => {
      const ws = new FakeWebSocket();
      opened.push(ws);
      return ws as unknown as WebSocket;
    },
  });
  const last = () => {
    const ws = opened.at(-1);
    if (!ws) throw new Error('no socket was opened');
    return ws;
  };
  return { opened, store, socket, onRefused, onProblem, last };
}

const hello = { op: 'hello', proto: 'nexus.v1.json', session: 's', time: 0, limits: {} };

describe('LiveSocket', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('subscribes device states and all watched tags in one frame after hello', () => {
    const { socket, last } = setUp();
    socket.watch('a/x');
    socket.watch('a/y');
    socket.start();
    expect(last().sent).toEqual([]);
    last().say(hello);
    vi.advanceTimersByTime(50);
    expect(last().sent).toEqual([
      { op: 'sub', id: 2, kind: 'device' },
      { op: 'sub', id: 1, kind: 'tag', ids: ['a/x', 'a/y'], rate_ms: 250 },
    ]);
  });

  it('changes the subscription by what has come and gone, once for two watchers', () => {
    const { socket, last } = setUp();
    socket.start();
    last().say(hello);
    const first = socket.watch('a/x');
    const second = socket.watch('a/x');
    vi.advanceTimersByTime(50);
    first();
    vi.advanceTimersByTime(50);
    expect(last().sent.filter((f) => f['op'] === 'mod')).toEqual([]);
    second();
    socket.watch('a/z');
    vi.advanceTimersByTime(50);
    expect(last().sent.slice(-2)).toEqual([
      { op: 'mod', id: 1, del: ['a/x'] },
      { op: 'mod', id: 1, add: ['a/z'] },
    ]);
  });

  it('keeps values of snapshots and updates by their alias', () => {
    const { socket, store, last } = setUp();
    socket.start();
    last().say(hello);
    last().say({
      op: 'snap',
      id: 1,
      rows: [
        [7, 'a/x', 't', 'f', 'C'],
        [-1, 'a/none', null, null, null],
      ],
      vals: [[7, 100, 1.5, 192]],
    });
    expect(store.value('a/x')).toEqual({ t: 100, value: 1.5, quality: 192 });
    last().say({
      op: 'upd',
      id: 1,
      t0: 200,
      v: [
        [7, 5, null, 24],
        [99, 0, 1, 192],
      ],
    });
    expect(store.value('a/x')).toEqual({ t: 205, value: null, quality: 24 });
  });

  it('reconnects by itself and subscribes again', () => {
    const { socket, opened, last } = setUp();
    socket.watch('a/x');
    socket.start();
    last().say(hello);
    vi.advanceTimersByTime(50);
    last().close();
    expect(socket.link.get().kind).toBe('offline');
    vi.advanceTimersByTime(11_000);
    expect(opened).toHaveLength(2);
    last().say(hello);
    vi.advanceTimersByTime(50);
    expect(last().sent).toContainEqual({ op: 'sub', id: 1, kind: 'tag', ids: ['a/x'], rate_ms: 250 });
    expect(socket.link.get().kind).toBe('live');
  });

  it('asks whether the session is gone when it is closed before hello, and waits as long as bye says', () => {
    const { socket, opened, onRefused, last } = setUp();
    socket.start();
    last().say({ op: 'bye', reason: 'restart', retry_ms: 30_000 });
    last().close();
    expect(onRefused).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(29_000);
    expect(opened).toHaveLength(1);
    vi.advanceTimersByTime(1_500);
    expect(opened).toHaveLength(2);
  });

  it('gives up a silent connection and opens another', () => {
    const { socket, opened, last } = setUp();
    socket.start();
    last().say(hello);
    vi.advanceTimersByTime(40_000);
    expect(opened.length).toBeGreaterThan(1);
  });

  it('survives frames that are not JSON and opens nothing after stop', () => {
    const { socket, opened, last } = setUp();
    socket.start();
    last().dispatchEvent(new MessageEvent('message', { data: '{"op":' }));
    socket.stop();
    vi.advanceTimersByTime(60_000);
    expect(opened).toHaveLength(1);
  });
});
