import { MantineProvider } from '@mantine/core';
import { render, screen } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import { ProblemError } from '../api/problem';
import { ProblemPanel } from './ProblemPanel';

const show = (error: unknown) =>
  render(
    <MantineProvider>
      <ProblemPanel error={error} />
    </MantineProvider>,
  );

describe('ProblemPanel', () => {
  it('shows what, where, why and what helps', () => {
    show(
      new ProblemError({
        type: 'x',
        title: 'The device cannot be reached',
        status: 502,
        code: 'device_unreachable',
        detail: 'TCP connect refused.',
        cause: { layer: 'tcp', peer: '10.0.4.12:502', elapsed_ms: 212 },
        fixes: ['Check the port.'],
        trace_id: 'abc',
        errors: [{ pointer: '/connection/port', code: 'range', detail: 'too large', suggestion: '502' }],
      }),
    );
    const panel = screen.getByRole('alert');
    for (const text of [
      'The device cannot be reached',
      'TCP connect refused.',
      '10.0.4.12:502',
      'Check the port.',
      'device_unreachable',
      'abc',
      '/connection/port',
      '502',
      '212 ms',
    ])
      expect(panel).toHaveTextContent(text);
  });

  it('says something useful about a fault of our own', () => {
    show(new Error('x is undefined'));
    expect(screen.getByRole('alert')).toHaveTextContent('This page has failed');
    expect(screen.getByRole('alert')).toHaveTextContent('x is undefined');
    expect(screen.getByRole('alert')).toHaveTextContent('Load the page again');
  });
});
