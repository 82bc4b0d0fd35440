// A part of the page with a question of its own to the core: waits, fails and refreshes by itself.
import { Text, Title } from '@mantine/core';
import { type ReactNode, useId } from 'react';
import { useTranslation } from 'react-i18next';
import { formatClock } from '../../app/format';
import { ProblemPanel } from '../../components/ProblemPanel';
import classes from './SystemPage.module.css';

interface Answer<T> {
  data: T | undefined;
  error: unknown;
  dataUpdatedAt: number;
  refetch: () => unknown;
}

interface Props<T> {
  title: string;
  answer: Answer<T>;
  children: (data: T) => ReactNode;
}

export function Section<T>({ title, answer: { data, error, dataUpdatedAt, refetch }, children }: Props<T>) {
  const { t } = useTranslation();
  const id = useId();
  return (
    <section className={classes['section']} aria-labelledby={id}>
      <div className={classes['head']}>
        <Title order={2} id={id}>
          {title}
        </Title>
        {data !== undefined && !error && (
          <span className="nx-muted">{t('system.as_of', { time: formatClock(dataUpdatedAt) })}</span>
        )}
      </div>
      {error ? <ProblemPanel error={error} onRetry={() => void refetch()} /> : null}
      {!error && data === undefined && <Text className="nx-muted">{t('system.loading')}</Text>}
      {!error && data !== undefined && children(data)}
    </section>
  );
}

/** Tables that are wider than a phone move sideways, also by keyboard. */
export function Scroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className={classes['scroll']} role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}
