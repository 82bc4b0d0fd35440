// Ingestion: does it store, how fast, and what went wrong.
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { IngestConnection, Ingestion, IngestTrouble } from '../../api/gen/model';
import { ingestQuery } from '../../api/queries';
import { formatAge, formatMs, formatNumber } from '../../app/format';
import { Facts } from '../../components/Facts';
import { SimpleTable } from '../../components/SimpleTable';
import { Banner } from './Banner';
import type { Sample } from '../../api/rate';
import { Scroll, Section } from './Section';
import classes from './SystemPage.module.css';

export function IngestSection() {
  const { t } = useTranslation();
  const ingest = useQuery(ingestQuery);
  return (
    <Section title={t('system.ingest')} answer={ingest}>
      {(data) => <IngestView sample={data} />}
    </Section>
  );
}

export function IngestView({ sample }: { sample: Sample<Ingestion> }) {
  const { t } = useTranslation();
  return (
    <>
      <Checks ingest={sample.data} />
      <Sums sample={sample} />
      <div className={classes['tables']}>
        <Scroll label={t('system.writers')}>
          <Writers ingest={sample.data} />
        </Scroll>
        <Scroll label={t('system.errors')}>
          <Counts caption={t('system.errors')} of="error_type" counts={sample.data.errors} isMarking />
        </Scroll>
        <Scroll label={t('system.skipped')}>
          <Counts caption={t('system.skipped')} of="skip_reason" counts={sample.data.skipped_messages} />
        </Scroll>
      </div>
    </>
  );
}

/** Database, broker, own spool: what each of them says. */
function Checks({ ingest: { historian, broker, foreign } }: { ingest: Ingestion }) {
  const { t } = useTranslation();
  return (
    <div className={classes['checks']}>
      <Check name={t('system.database')} place={historian.url} trouble={historian.trouble}>
        {historian.writers.is_listening ? t('system.takes_values') : t('system.not_listening')}
      </Check>
      {historian.damage && (
        <Check name={t('system.stored_files')} place={historian.url} trouble={historian.damage}>
          {t('system.takes_values')}
        </Check>
      )}
      <Check name={t('system.broker_batches')} place={broker.url} trouble={offline(broker.batches)}>
        {t('device.state.online')}
      </Check>
      <Check name={t('system.broker_tags')} place={broker.url} trouble={offline(broker.tags)}>
        {t('device.state.online')}
      </Check>
      <Check name={t('system.own_spool')} place={t('system.foreign')} trouble={foreign.trouble}>
        {t('system.takes_values')}
      </Check>
    </div>
  );
}

const offline = ({ state, reason }: IngestConnection): IngestTrouble =>
  state === 'online' ? null : { error: state, reason };

interface CheckProps {
  name: string;
  place: string;
  trouble: IngestTrouble;
  children: string;
}

function Check({ name, place, trouble, children }: CheckProps) {
  const { t } = useTranslation();
  const state = trouble ? t(`system.connection.${trouble.error}`, { defaultValue: t('system.trouble') }) : children;
  return (
    <Banner level={trouble ? 'bad' : 'good'} title={`${name}: ${state}`}>
      <p className={`${classes['place']} nx-muted nx-mono`}>{place}</p>
      {trouble && <p className={classes['reason']}>{trouble.reason}</p>}
    </Banner>
  );
}

function Sums({ sample: { data, perSecond } }: { sample: Sample<Ingestion> }) {
  const { t, i18n } = useTranslation();
  const { totals, batch_duration, lag_seconds, historian, foreign, dead_letters } = data;
  const number = (n: number) => formatNumber(n, i18n.language);
  const duration = (s: number) => (batch_duration.count > 0 ? `≤ ${formatMs(s * 1000)}` : '–');
  return (
    <Facts
      facts={[
        [t('system.rate'), perSecond === null ? '–' : number(Math.round(perSecond * 10) / 10)],
        [t('system.stored_since_start'), number(totals.points)],
        [t('system.lag'), batch_duration.count > 0 ? formatMs(Math.max(0, lag_seconds) * 1000) : '–'],
        [t('system.duration_p50'), duration(batch_duration.p50_s)],
        [t('system.duration_p95'), duration(batch_duration.p95_s)],
        [t('system.buffer'), `${number(Math.round(totals.buffer_usage * 1000) / 10)} %`],
        [t('system.queued'), number(historian.writers.queued_points)],
        [t('system.retries'), number(historian.writers.retries)],
        [t('system.shed'), number(totals.shed_batches)],
        [t('system.refused'), number(historian.writers.refused_points)],
        [t('system.own_spool_points'), number(foreign.points)],
        [t('system.dead_seen'), number(dead_letters.seen)],
      ]}
    />
  );
}

function Writers({ ingest }: { ingest: Ingestion }) {
  const { t, i18n } = useTranslation();
  const rows = ingest.historian.writers.items.map((writer, i) => ({ ...writer, number: i + 1 }));
  return (
    <SimpleTable
      caption={t('system.writers')}
      columns={[
        { header: t('system.writer'), isNumber: true, cell: (w) => w.number },
        {
          header: t('device.state_label'),
          cell: ({ state, since_s }) =>
            `${t(`system.writer_state.${state}`)}${since_s >= 1 ? ` · ${formatAge(since_s * 1000)}` : ''}`,
        },
        { header: t('system.stored_points'), isNumber: true, cell: (w) => formatNumber(w.points, i18n.language) },
        { header: t('system.failures'), isNumber: true, cell: (w) => formatNumber(w.failures, i18n.language) },
      ]}
      rows={rows}
      rowKey={(w) => String(w.number)}
      isMarked={(w) => w.state === 'waiting'}
    />
  );
}

interface CountsProps {
  caption: string;
  of: 'error_type' | 'skip_reason';
  counts: Record<string, number>;
  isMarking?: boolean;
}

function Counts({ caption, of, counts, isMarking = false }: CountsProps) {
  const { t, i18n } = useTranslation();
  return (
    <SimpleTable
      caption={caption}
      columns={[
        { header: t('system.kind'), cell: ([key]) => t(`system.${of}.${key}`, { defaultValue: key }) },
        { header: t('system.count'), isNumber: true, cell: ([, n]) => formatNumber(n, i18n.language) },
      ]}
      rows={Object.entries(counts)}
      rowKey={([key]) => key}
      isMarked={([, n]) => isMarking && n > 0}
    />
  );
}
