import { describe, expect, it } from 'vitest';
import { LinkMonitor } from './link';

function monitor() {
  let now = 1_000_000;
  const link = new LinkMonitor(() => now);
  return { link, pass: (ms: number) => (now += ms), now: () => now };
}

describe('LinkMonitor', () => {
  it('is live after hello and takes over the clock of the core', () => {
    const { link, now } = monitor();
    link.opened(now() + 5000);
    expect(link.get()).toEqual({ kind: 'live' });
    expect(link.serverNow()).toBe(now() + 5000);
  });

  it('is delayed while a ping waits for its answer, and live again after a quick one', () => {
    const { link, pass, now } = monitor();
    link.opened(now());
    link.pinged();
    pass(2100);
    link.pinged();
    expect(link.get()).toEqual({ kind: 'delayed', delayMs: 2100 });
    link.pong(now());
    link.pinged();
    pass(20);
    link.pong(now());
    expect(link.get()).toEqual({ kind: 'live' });
  });

  it('is delayed when the core sends less often', () => {
    const { link, now } = monitor();
    link.opened(now());
    link.slowed(4000);
    expect(link.get()).toEqual({ kind: 'delayed', delayMs: 4000 });
    link.slowed(0);
    expect(link.get()).toEqual({ kind: 'live' });
  });

  it('is offline since the last frame heard, however often reconnecting fails', () => {
    const { link, pass, now } = monitor();
    link.opened(now());
    const heard = now();
    pass(700);
    link.lost();
    pass(9000);
    link.lost();
    expect(link.get()).toEqual({ kind: 'offline', since: heard });
  });

  it('calls a link dead only when a ping was sent and nothing came', () => {
    const { link, pass, now } = monitor();
    link.opened(now());
    pass(60_000);
    expect(link.isDead()).toBe(false);
    link.pinged();
    pass(12_001);
    expect(link.isDead()).toBe(true);
    link.heard();
    expect(link.isDead()).toBe(false);
  });
});
