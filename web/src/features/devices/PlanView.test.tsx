import { MantineProvider } from '@mantine/core';
import { render, screen, within } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import type { DevicePlan } from '../../api/gen/model';
import { PlanTables } from './PlanView';
import { requestRows, shortTags } from './plan';

const plan: DevicePlan = {
  device_id: 'press',
  protocol: 'modbus-tcp',
  is_connected: true,
  cycle: { requests: 2, bytes_out: 24, bytes_in: 30, gap_bytes: 2, holes: 1, predicted_ms: 4.1, achieved_ms: 1500 },
  lists: [
    {
      interval_ms: 1000,
      priority: 'telemetry',
      achieved_interval_ms: 1500,
      requests: [
        { text: 'read holding 0-4', bytes_out: 12, bytes_in: 19, gap_bytes: 2, tags: ['a', 'b'], hole: null },
        { text: 'read holding 9', bytes_out: 12, bytes_in: 11, gap_bytes: 0, tags: ['c'], hole: 'no such address' },
      ],
    },
  ],
  tags: [
    { id: 'a', address: 'holding:0', interval_ms: 1000, achieved_interval_ms: 1500 },
    { id: 'b', address: 'holding:4', interval_ms: 1000, achieved_interval_ms: 1099 },
    { id: 'c', address: 'holding:9', interval_ms: 1000, achieved_interval_ms: null, hole: 'no such address' },
  ],
};

const show = (p: DevicePlan) =>
  render(
    <MantineProvider>
      <PlanTables plan={p} />
    </MantineProvider>,
  );

describe('read plan', () => {
  it('names the tags that get less than they ask for, holes first', () => {
    expect(shortTags(plan).map((tag) => tag.id)).toEqual(['c', 'a']);
    expect(requestRows(plan).map((r) => r.key)).toEqual(['0/0', '0/1']);
  });

  it('shows requests with their cost, and why one is refused', () => {
    show(plan);
    const requests = screen.getByRole('table', { name: /requests/i });
    const rows = within(requests).getAllByRole('row');
    expect(rows).toHaveLength(3);
    for (const text of ['read holding 0-4', '12', '19', '2', '1.0 s', '1.5 s']) expect(rows[1]).toHaveTextContent(text);
    expect(rows[2]).toHaveTextContent('no such address');
    const shorts = screen.getByRole('table', { name: /2 of 3 tags/ });
    expect(within(shorts).getAllByRole('row')).toHaveLength(3);
  });

  it('says when all is well, and when nobody can know', () => {
    show({ ...plan, tags: [] });
    expect(screen.getByText(/as often as they ask for/)).toBeInTheDocument();
  });

  it('tells that a plan without a connection is an assumption', () => {
    show({ ...plan, is_connected: false, tags: [] });
    expect(screen.getByText(/not connected/)).toBeInTheDocument();
    expect(screen.queryByText(/as often as they ask for/)).toBeNull();
  });
});
