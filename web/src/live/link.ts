// How well the page hears the core: Live, Delayed by how much, or Offline since when. Also the core's clock.

const DELAYED_MS = 1500;
const DEAD_MS = 12_000;

export type LinkState =
  | { kind: 'idle' }
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'delayed'; delayMs: number }
  | { kind: 'offline'; since: number };

const same = (a: LinkState, b: LinkState): boolean =>
  a.kind === b.kind &&
  (a.kind !== 'delayed' || b.kind !== 'delayed' || Math.abs(a.delayMs - b.delayMs) < 100) &&
  (a.kind !== 'offline' || b.kind !== 'offline' || a.since === b.since);

export class LinkMonitor {
  private state: LinkState = { kind: 'idle' };
  private readonly listeners = new Set<() => void>();
  private pingAt = 0;
  private heardAt = 0;
  private roundTripMs = 0;
  private rateMs = 0;
  private offsetMs = 0;
  private readonly clock: () => number;

  constructor(clock: () => number = Date.now) {
    this.clock = clock;
  }

  get = (): LinkState => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Now, by the clock of the core: ages of values must not depend on the clock of this PC. */
  serverNow(): number {
    return this.clock() + this.offsetMs;
  }

  opened(serverTime: number): void {
    this.offsetMs = serverTime - this.clock();
    this.pingAt = 0;
    this.roundTripMs = 0;
    this.rateMs = 0;
    this.heardAt = this.clock();
    this.set({ kind: 'live' });
  }

  heard(): void {
    this.heardAt = this.clock();
  }

  pinged(): void {
    if (this.pingAt === 0) this.pingAt = this.clock();
    this.judge();
  }

  pong(serverTime: number): void {
    if (this.pingAt === 0) return;
    this.roundTripMs = this.clock() - this.pingAt;
    this.offsetMs = serverTime + this.roundTripMs / 2 - this.clock();
    this.pingAt = 0;
    this.judge();
  }

  /** The core sends less often because this browser or the network does not keep up; 0: back to normal. */
  slowed(rateMs: number): void {
    this.rateMs = rateMs;
    this.judge();
  }

  lost(): void {
    if (this.state.kind !== 'offline') this.set({ kind: 'offline', since: this.heardAt || this.clock() });
  }

  idle(): void {
    this.set({ kind: 'idle' });
  }

  /** No frame at all although we ask regularly. */
  isDead(): boolean {
    return this.pingAt !== 0 && this.clock() - Math.max(this.heardAt, this.pingAt) > DEAD_MS;
  }

  private judge(): void {
    if (this.state.kind !== 'live' && this.state.kind !== 'delayed') return;
    const waiting = this.pingAt === 0 ? 0 : this.clock() - this.pingAt;
    const delayMs = Math.max(this.roundTripMs, waiting, this.rateMs);
    this.set(delayMs >= DELAYED_MS ? { kind: 'delayed', delayMs } : { kind: 'live' });
  }

  private set(next: LinkState): void {
    if (same(this.state, next)) return;
    this.state = next;
    this.listeners.forEach((listener) => listener());
  }
}
