// The one WebSocket of this page: keeps it open, subscribes what somebody watches, measures how late it is.
// Subscription 1 holds the watched tags (changed by `mod` as rows scroll), subscription 2 all device states.
import type { Problem } from '../api/gen/model';
import { LinkMonitor } from './link';
import { type ClientFrame, parseFrame, type Row, type ServerFrame, SUBPROTOCOL, type TimedValue } from './protocol';
import type { LiveStore } from './store';

const TAGS = 1;
const DEVICES = 2;
const RATE_MS = 250;
const GATHER_MS = 30;
const PING_MS = 5000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;
const IDS_PER_FRAME = 1000;

export interface SocketOptions {
  url: string;
  /** The socket was closed before it said hello: perhaps the session is gone. */
  onRefused: () => void;
  onProblem: (problem: Problem) => void;
  open?: (url: string) => WebSocket;
}

export class LiveSocket {
  readonly link = new LinkMonitor();
  private ws: WebSocket | null = null;
  private isReady = false;
  private isWanted = false;
  private isSubscribed = false;
  private attempt = 0;
  private retryAfter = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private pingTimer: ReturnType<typeof setInterval> | undefined;
  private gatherTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly watchers = new Map<string, number>();
  private readonly subscribed = new Set<string>();
  private readonly aliases = new Map<number, string>();
  private readonly store: LiveStore;
  private readonly options: SocketOptions;

  constructor(store: LiveStore, options: SocketOptions) {
    this.store = store;
    this.options = options;
  }

  start(): void {
    if (this.isWanted) return;
    this.isWanted = true;
    this.connect();
  }

  stop(): void {
    this.isWanted = false;
    clearTimeout(this.retryTimer);
    this.drop();
    this.ws?.close(1000);
    this.ws = null;
    this.link.idle();
  }

  /** Wants live values of a tag until the returned function is called. */
  watch(tag: string): () => void {
    this.watchers.set(tag, (this.watchers.get(tag) ?? 0) + 1);
    this.gather();
    return () => {
      const count = (this.watchers.get(tag) ?? 1) - 1;
      if (count > 0) this.watchers.set(tag, count);
      else this.watchers.delete(tag);
      this.gather();
    };
  }

  private connect(): void {
    const open = this.options.open ?? ((url: string) => new WebSocket(url, SUBPROTOCOL));
    const ws = open(this.options.url);
    this.ws = ws;
    ws.addEventListener('message', (event: MessageEvent<string>) => {
      if (ws === this.ws) this.receive(event.data);
    });
    ws.addEventListener('close', () => {
      if (ws === this.ws) this.closed();
    });
  }

  private closed(): void {
    const wasReady = this.isReady;
    this.drop();
    this.ws = null;
    if (!this.isWanted) return;
    this.link.lost();
    if (!wasReady) this.options.onRefused();
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.attempt);
    const delay = Math.max(this.retryAfter, ceiling * (0.5 + Math.random() / 2));
    this.attempt += 1;
    this.retryAfter = 0;
    this.retryTimer = setTimeout(() => this.isWanted && this.connect(), delay);
  }

  private drop(): void {
    this.isReady = false;
    this.isSubscribed = false;
    this.subscribed.clear();
    this.aliases.clear();
    clearInterval(this.pingTimer);
    clearTimeout(this.gatherTimer);
    this.gatherTimer = undefined;
  }

  private receive(text: string): void {
    const frame = parseFrame(text);
    if (!frame) return;
    this.link.heard();
    this.handle(frame);
  }

  private handle(frame: ServerFrame): void {
    switch (frame.op) {
      case 'hello':
        this.hello(frame.time);
        break;
      case 'snap':
        this.snap(frame.rows, frame.vals);
        break;
      case 'upd':
        for (const [alias, dt, value, quality] of frame.v) this.put([alias, frame.t0 + dt, value, quality]);
        break;
      case 'evt':
        this.store.putDevice(frame.device_id, frame.status);
        break;
      case 'pong':
        this.link.pong(frame.time);
        break;
      case 'lag':
        this.link.slowed(frame.rate_ms > RATE_MS ? frame.rate_ms : 0);
        break;
      case 'err':
        this.options.onProblem(frame.problem);
        break;
      case 'bye':
        this.retryAfter = frame.retry_ms;
        break;
    }
  }

  private hello(serverTime: number): void {
    this.isReady = true;
    this.attempt = 0;
    this.link.opened(serverTime);
    this.send({ op: 'sub', id: DEVICES, kind: 'device' });
    this.gather();
    this.pingTimer = setInterval(() => this.ping(), PING_MS);
  }

  private ping(): void {
    if (this.link.isDead()) {
      const ws = this.ws;
      this.closed();
      ws?.close();
      return;
    }
    this.link.pinged();
    this.send({ op: 'ping' });
  }

  private snap(rows: Row[], vals: TimedValue[]): void {
    for (const [alias, id] of rows) if (alias >= 0) this.aliases.set(alias, id);
    for (const val of vals) this.put(val);
  }

  private put([alias, t, value, quality]: TimedValue): void {
    const tag = this.aliases.get(alias);
    if (tag !== undefined) this.store.putValue(tag, { t, value, quality });
  }

  /** Many rows come and go together while scrolling: one frame for all of them. */
  private gather(): void {
    if (!this.isReady || this.gatherTimer !== undefined) return;
    this.gatherTimer = setTimeout(() => {
      this.gatherTimer = undefined;
      this.subscribe();
    }, GATHER_MS);
  }

  private subscribe(): void {
    const add = [...this.watchers.keys()].filter((tag) => !this.subscribed.has(tag));
    const del = [...this.subscribed].filter((tag) => !this.watchers.has(tag));
    for (const tag of add) this.subscribed.add(tag);
    for (const tag of del) this.subscribed.delete(tag);
    if (del.length > 0) this.send({ op: 'mod', id: TAGS, del });
    for (let i = 0; i < add.length; i += IDS_PER_FRAME) this.addTags(add.slice(i, i + IDS_PER_FRAME));
  }

  private addTags(ids: string[]): void {
    if (this.isSubscribed) this.send({ op: 'mod', id: TAGS, add: ids });
    else this.send({ op: 'sub', id: TAGS, kind: 'tag', ids, rate_ms: RATE_MS });
    this.isSubscribed = true;
  }

  private send(frame: ClientFrame): void {
    if (this.ws?.readyState === 1) this.ws.send(JSON.stringify(frame));
  }
}
