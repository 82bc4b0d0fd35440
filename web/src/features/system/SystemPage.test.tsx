import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import type { ReactNode } from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Me } from '../../api/gen/model';
import { meQuery } from '../../api/queries';
import { DeadLettersView } from './DeadLettersSection';
import { ingestion, ledger, row } from './fixtures';
import { IngestView } from './IngestSection';
import { LedgerView } from './LedgerSection';
import { SystemPage } from './SystemPage';

const show = (children: ReactNode) => render(<MantineProvider>{children}</MantineProvider>);
const cells = (table: HTMLElement, n: number) =>
  within(within(table).getAllByRole('row')[n] as HTMLElement)
    .getAllByRole('cell')
    .map((cell) => cell.textContent);

const open = (permissions: Me['permissions']) => {
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: 0 } } });
  client.setQueryData(meQuery.queryKey, { permissions } as Me);
  show(
    <QueryClientProvider client={client}>
      <SystemPage />
    </QueryClientProvider>,
  );
};
const json = (body: unknown, status = 200) =>
  Promise.resolve(new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } }));

describe('ledger', () => {
  it('says that every value is accounted for, and where they are', () => {
    show(<LedgerView ledger={ledger} />);
    expect(screen.getByRole('status')).toHaveTextContent('Every value is accounted for');
    expect(screen.getByText(/3 batches wait safely/)).toBeInTheDocument();
    const table = screen.getByRole('table', { name: 'Gateways and lanes' });
    expect(cells(table, 1).slice(0, 10)).toEqual([
      'gw',
      'Online',
      'Bulk',
      '6,890',
      '164',
      '30',
      '3 min 20 s',
      '1 min 5 s',
      '0',
      '0',
    ]);
  });

  it('foretells no end of what is on its way', () => {
    const onItsWay = { lane: 0, waiting_batches: 1, waiting_points: 4, oldest_s: 1, drain_s: 16, is_stalled: false };
    show(<LedgerView ledger={{ ...ledger, gateways: [{ id: 'gw', status: 'online', lanes: [onItsWay] }] }} />);
    expect(screen.queryByRole('cell', { name: '16 s' })).not.toBeInTheDocument();
    expect(screen.getByRole('cell', { name: '1 s' })).toBeInTheDocument();
  });

  it('says how many are missing, dropped and why', () => {
    const gaps = [{ cause: 'FULL', numbers: 4, points: 40, last_at: '2026-11-25T19:49:22Z' }];
    show(
      <LedgerView
        ledger={{
          ...ledger,
          items: [{ ...row, missing: 5, gap_points: 40, gaps }],
          totals: { ...ledger.totals, missing: 5, lost: 2, gap_points: 40, quarantined_points: 1 },
          gateways: [{ id: 'gw', status: 'offline', lanes: [{ lane: 0, waiting_batches: 3, drain_s: -1 }] }],
        }}
      />,
    );
    expect(screen.getByRole('status')).toHaveTextContent('2 batches are missing');
    expect(screen.getByText(/40 values: the spool was full \(last 2026-11-25/)).toBeInTheDocument();
    expect(screen.getByText(/3 batches are on their way/)).toBeInTheDocument();
    expect(screen.getByText(/1 value is in quarantine/)).toBeInTheDocument();
    expect(screen.getByText(/gw is not online.*never/)).toBeInTheDocument();
    expect(screen.getByRole('cell', { name: 'not shrinking' })).toBeInTheDocument();
  });

  it('has no table before anything is known', () => {
    show(<LedgerView ledger={{ items: [], gateways: [], totals: { ...ledger.totals, batches: 0 } }} />);
    expect(screen.getByRole('status')).toHaveTextContent('No values yet');
    expect(screen.queryByRole('table')).toBeNull();
  });
});

describe('ingestion', () => {
  it('shows rate, lag, durations, buffer and each writer', () => {
    show(<IngestView sample={{ data: ingestion, at: 0, perSecond: 137.26 }} />);
    for (const [name, value] of [
      ['Values per second', '137.3'],
      ['Lag', '20 ms'],
      ['Batch duration, 95 %', '≤ 20 ms'],
      ['Buffer in use', '12.5 %'],
    ])
      expect(screen.getByText(name as string).nextElementSibling).toHaveTextContent(value as string);
    expect(screen.getByText('Database: takes values')).toBeInTheDocument();
    expect(cells(screen.getByRole('table', { name: 'Writers' }), 2)).toEqual(['2', 'storing · 12 s', '2,890', '3']);
    expect(cells(screen.getByRole('table', { name: /Errors/ }), 1)).toEqual(['Messages that could not be used', '4']);
  });

  it('says why the database or the broker is out of reach', () => {
    const trouble = { error: 'OFFLINE', reason: 'connection to db:5432 was refused' };
    const tags = { ...ingestion.broker.tags, state: 'waiting' as const, reason: 'no route to the broker' };
    show(
      <IngestView
        sample={{
          data: {
            ...ingestion,
            broker: { ...ingestion.broker, tags },
            historian: {
              ...ingestion.historian,
              trouble,
              damage: { error: 'CORRUPT', reason: '1 file was set aside' },
            },
          },
          at: 0,
          perSecond: null,
        }}
      />,
    );
    expect(screen.getByText('Database: in trouble')).toBeInTheDocument();
    expect(screen.getByText(trouble.reason)).toBeInTheDocument();
    expect(screen.getByText('Stored files: damaged')).toBeInTheDocument();
    expect(screen.getByText('1 file was set aside')).toBeInTheDocument();
    expect(screen.getByText('Broker, tag messages: not connected, tries again')).toBeInTheDocument();
    expect(screen.getByText('no route to the broker')).toBeInTheDocument();
  });
});

describe('dead letters', () => {
  const letter = { time: '2026-11-25T19:49:22Z', topic: 'uns/d', reason: 'not JSON at byte 0', bytes: 5000 };
  const markup = '<img src=x onerror=alert(1)>';

  it('show topic, reason, count and content as text only', async () => {
    const payload = btoa(markup);
    show(
      <DeadLettersView
        letters={[
          { ...letter, payload },
          { ...letter, payload },
        ]}
      />,
    );
    const table = screen.getByRole('table', { name: 'The newest 2 messages' });
    expect(cells(table, 1).slice(1, 4)).toEqual(['2', 'uns/d', 'not JSON at byte 0']);
    expect(document.querySelector('img')).toBeNull();
    await userEvent.click(within(table).getAllByText(markup)[0] as HTMLElement);
    expect(within(table).getByText(/the first 28 of 5,000 bytes/)).toBeInTheDocument();
  });

  it('say so when there are none', () => {
    show(<DeadLettersView letters={[]} />);
    expect(screen.getByText('No dead letters')).toBeInTheDocument();
  });
});

describe('page', () => {
  afterEach(() => vi.unstubAllGlobals());

  it('lets each section fail alone', async () => {
    const problem = { type: 'x', title: 'Ingestion does not answer', status: 502, code: 'ingest_unreachable' };
    vi.stubGlobal('fetch', (url: string) => {
      if (url.includes('/ledger')) return json(ledger);
      return url.includes('/dead-letters') ? json({ items: [] }) : json(problem, 502);
    });
    open(['system.read']);
    expect(screen.getAllByText('Asking the server')).toHaveLength(3);
    expect(await screen.findByRole('alert')).toHaveTextContent('Ingestion does not answer');
    expect(screen.getByText('Every value is accounted for')).toBeInTheDocument();
    expect(screen.getByText('No dead letters')).toBeInTheDocument();
  });

  it('asks nothing for those who may not see it, and says what they need', () => {
    const fetch = vi.fn();
    vi.stubGlobal('fetch', fetch);
    open(['devices.read']);
    expect(screen.getByText(/permission system.read/)).toBeInTheDocument();
    expect(fetch).not.toHaveBeenCalled();
  });
});
