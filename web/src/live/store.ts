// The newest value of every watched tag and the state of every device, outside React. Components subscribe to single
// keys; changes are told at most once in FLUSH_MS, in one animation frame, so that the cost follows what is visible.
import type { DeviceStatus } from '../api/gen/model';
import type { Scalar } from './protocol';

export const FLUSH_MS = 100;

export interface LiveValue {
  readonly t: number;
  readonly value: Scalar;
  readonly quality: number;
}

type Listener = () => void;
type ValueListener = (value: LiveValue) => void;

/** When and how the store calls its listeners; replaced by tests. */
export interface Pace {
  later(run: () => void): void;
}

const framePace: Pace = {
  later(run) {
    // A hidden tab has no animation frames; its values must not grow old meanwhile.
    setTimeout(() => (document.hidden ? run() : requestAnimationFrame(run)), FLUSH_MS);
  },
};

export class LiveStore {
  private readonly values = new Map<string, LiveValue>();
  private readonly devices = new Map<string, DeviceStatus>();
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly taps = new Map<string, Set<ValueListener>>();
  private readonly dirty = new Set<string>();
  private isScheduled = false;
  private readonly pace: Pace;

  constructor(pace: Pace = framePace) {
    this.pace = pace;
  }

  value(tag: string): LiveValue | undefined {
    return this.values.get(tag);
  }

  device(id: string): DeviceStatus | undefined {
    return this.devices.get(id);
  }

  /** Older values than the one held are dropped: frames of two subscriptions may cross. */
  putValue(tag: string, next: LiveValue): void {
    const last = this.values.get(tag);
    if (last && last.t > next.t) return;
    this.values.set(tag, next);
    this.taps.get(tag)?.forEach((tap) => tap(next));
    this.touch(`t:${tag}`);
  }

  putDevice(id: string, status: DeviceStatus): void {
    this.devices.set(id, status);
    this.touch(`d:${id}`);
    this.touch('d:*');
  }

  dropDevice(id: string): void {
    if (this.devices.delete(id)) this.touch(`d:${id}`);
  }

  /** Forgets everything, as on logout. */
  clear(): void {
    this.values.clear();
    this.devices.clear();
  }

  onValue(tag: string, listener: Listener): () => void {
    return this.on(`t:${tag}`, listener);
  }

  onDevice(id: string, listener: Listener): () => void {
    return this.on(`d:${id}`, listener);
  }

  /** Sees every value of a tag as it arrives, unpaced: for trends. */
  tap(tag: string, listener: ValueListener): () => void {
    return add(this.taps, tag, listener);
  }

  private on(key: string, listener: Listener): () => void {
    return add(this.listeners, key, listener);
  }

  private touch(key: string): void {
    if (!this.listeners.has(key)) return;
    this.dirty.add(key);
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.pace.later(() => this.flush());
  }

  private flush(): void {
    this.isScheduled = false;
    const keys = [...this.dirty];
    this.dirty.clear();
    for (const key of keys) this.listeners.get(key)?.forEach((listener) => listener());
  }
}

function add<T>(map: Map<string, Set<T>>, key: string, item: T): () => void {
  let set = map.get(key);
  if (!set) map.set(key, (set = new Set()));
  set.add(item);
  return () => {
    set.delete(item);
    if (set.size === 0 && map.get(key) === set) map.delete(key);
  };
}
