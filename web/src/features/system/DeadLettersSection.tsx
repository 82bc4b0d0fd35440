// Messages that ingestion could not use: which, why, and what stood in them.
import { IconMailOff } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { deadLettersQuery } from '../../api/queries';
import { formatDateTime, formatNumber } from '../../app/format';
import { EmptyState } from '../../components/EmptyState';
import { SimpleTable, type SimpleColumn } from '../../components/SimpleTable';
import { type DeadLetter, grouped, type LetterGroup, payloadOf, previewOf, visible } from './letters';
import { Scroll, Section } from './Section';
import classes from './SystemPage.module.css';

export function DeadLettersSection() {
  const { t } = useTranslation();
  const letters = useQuery(deadLettersQuery);
  return (
    <Section title={t('system.dead_letters')} answer={letters}>
      {(data) => <DeadLettersView letters={data} />}
    </Section>
  );
}

export function DeadLettersView({ letters }: { letters: DeadLetter[] }) {
  const { t } = useTranslation();
  const columns = useColumns();
  if (letters.length === 0)
    return (
      <EmptyState icon={<IconMailOff />} title={t('system.no_letters')} text={t('system.no_letters_text')} order={3} />
    );
  const caption = t('system.letters_caption', { count: letters.length });
  return (
    <Scroll label={caption}>
      <SimpleTable
        caption={caption}
        columns={columns}
        rows={grouped(letters)}
        rowKey={({ letter }) => `${letter.topic}\n${letter.reason}`}
        stacks
      />
    </Scroll>
  );
}

function useColumns(): SimpleColumn<LetterGroup>[] {
  const { t, i18n } = useTranslation();
  return [
    {
      header: t('trend.time'),
      isNumber: true,
      cell: ({ letter }) => formatDateTime(Date.parse(letter.time), i18n.language),
    },
    { header: t('system.count'), isNumber: true, cell: ({ count }) => formatNumber(count, i18n.language) },
    { header: t('tag.topic'), isMono: true, cell: ({ letter }) => <bdi>{visible(letter.topic)}</bdi> },
    { header: t('system.reason'), cell: ({ letter }) => <bdi>{visible(letter.reason)}</bdi> },
    { header: t('system.payload'), cell: ({ letter }) => <PayloadCell letter={letter} /> },
  ];
}

/** One line; all that was kept when opened. */
function PayloadCell({ letter }: { letter: DeadLetter }) {
  const { t, i18n } = useTranslation();
  const payload = payloadOf(letter);
  const number = (n: number) => formatNumber(n, i18n.language);
  const size = t('system.bytes', { count: letter.bytes, number: number(letter.bytes) });
  if (payload.kept === 0) return <span className="nx-muted">{size}</span>;
  return (
    <details className={classes['payload']}>
      <summary className="nx-mono">
        <bdi>{previewOf(payload)}</bdi>
      </summary>
      <pre className="nx-mono">{payload.text}</pre>
      <span className="nx-muted">
        {payload.kept < letter.bytes ? t('system.first_bytes', { kept: number(payload.kept), size }) : size}
        {payload.isBinary && ` · ${t('system.hex')}`}
      </span>
    </details>
  );
}
