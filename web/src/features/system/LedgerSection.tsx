// The books of the durable path: is every value accounted for, and where are those that are not stored.
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { Ledger, LedgerGap, LedgerGateway } from '../../api/gen/model';
import { ledgerQuery } from '../../api/queries';
import { formatAge, formatDateTime, formatNumber } from '../../app/format';
import { Facts } from '../../components/Facts';
import { Ne107Mark } from '../../components/Ne107Mark';
import { SimpleTable, type SimpleColumn } from '../../components/SimpleTable';
import { useServerNow } from '../../live/clock';
import { Banner, type Level } from './Banner';
import { causes, isForeign, type LaneRow, laneRows, silentGateways, type VerdictKind, verdictOf } from './books';
import { Scroll, Section } from './Section';
import classes from './SystemPage.module.css';

export function LedgerSection() {
  const { t } = useTranslation();
  const ledger = useQuery(ledgerQuery);
  return (
    <Section title={t('system.ledger')} answer={ledger}>
      {(data) => <LedgerView ledger={data} />}
    </Section>
  );
}

export function LedgerView({ ledger }: { ledger: Ledger }) {
  const { t } = useTranslation();
  return (
    <>
      <Verdict ledger={ledger} />
      <Sums ledger={ledger} />
      {ledger.items.length + ledger.gateways.length > 0 && (
        <Scroll label={t('system.lanes')}>
          <Lanes ledger={ledger} />
        </Scroll>
      )}
    </>
  );
}

const levels: Record<VerdictKind, Level> = {
  lost: 'bad',
  damaged: 'bad',
  dropped: 'warn',
  uncounted: 'warn',
  empty: 'note',
  whole: 'good',
};

function Verdict({ ledger }: { ledger: Ledger }) {
  const { t, i18n } = useTranslation();
  const { kind, count } = verdictOf(ledger);
  const { missing, lost, waiting_batches, quarantined_points } = ledger.totals;
  const number = (n: number) => formatNumber(n, i18n.language);
  const onTheWay = missing - lost;
  return (
    <Banner level={levels[kind]} title={t(`system.verdict.${kind}`, { count, number: number(count) })} isLive>
      <p className="nx-muted">{t(`system.verdict_text.${kind}`)}</p>
      <ul className={classes['notes']}>
        {causes(ledger.items).map((gap) => (
          <li key={gap.cause}>
            <GapText gap={gap} />
          </li>
        ))}
        {onTheWay > 0 && <li>{t('system.on_the_way', { count: onTheWay, number: number(onTheWay) })}</li>}
        {waiting_batches > 0 && (
          <li>{t('system.some_wait', { count: waiting_batches, number: number(waiting_batches) })}</li>
        )}
        {quarantined_points > 0 && (
          <li>{t('system.some_quarantined', { count: quarantined_points, number: number(quarantined_points) })}</li>
        )}
        {silentGateways(ledger).map(({ id, last_seen }) => (
          <li key={id}>
            {t('system.silent', {
              gateway: id,
              time: last_seen ? formatDateTime(Date.parse(last_seen), i18n.language) : t('device.never'),
            })}
          </li>
        ))}
      </ul>
    </Banner>
  );
}

/** How many, why, since when. */
function GapText({ gap }: { gap: LedgerGap }) {
  const { t, i18n } = useTranslation();
  const why = t(`system.cause.${gap.cause}`, { defaultValue: gap.cause });
  const many =
    gap.points > 0
      ? t('system.gap', { count: gap.points, number: formatNumber(gap.points, i18n.language), why })
      : t('system.gap_uncounted', { why });
  return gap.last_at
    ? `${many} (${t('system.last', { time: formatDateTime(Date.parse(gap.last_at), i18n.language) })})`
    : many;
}

function Sums({ ledger: { totals } }: { ledger: Ledger }) {
  const { t, i18n } = useTranslation();
  const number = (n: number) => formatNumber(n, i18n.language);
  return (
    <Facts
      facts={[
        [t('system.stored_points'), number(totals.points)],
        [t('system.batches'), number(totals.batches)],
        [t('system.waiting_points'), number(totals.waiting_points)],
        [t('system.oldest'), totals.waiting_batches > 0 ? formatAge(totals.oldest_s * 1000) : '–'],
        [t('system.missing'), number(totals.missing)],
        [t('system.dropped'), number(totals.gap_points)],
        [t('system.duplicate_batches'), number(totals.duplicate_batches)],
        [t('system.duplicate_points'), number(totals.duplicate_points)],
        [t('system.quarantined'), number(totals.quarantined_points)],
      ]}
    />
  );
}

function Lanes({ ledger }: { ledger: Ledger }) {
  const { t } = useTranslation();
  return (
    <SimpleTable
      caption={t('system.lanes')}
      columns={useLaneColumns(ledger)}
      rows={laneRows(ledger)}
      rowKey={(row) => row.key}
      stacks
      isMarked={(row) => row.missing > 0 || row.dropped > 0 || row.waiting?.is_stalled === true}
    />
  );
}

/** What waits for less is on its way; how fast it shrinks says nothing. */
const BACKLOG_FROM_S = 5;

function oldestText({ waiting }: LaneRow): string {
  if (!waiting?.waiting_batches || typeof waiting.oldest_s !== 'number') return '–';
  return formatAge(waiting.oldest_s * 1000);
}

function useLaneColumns(ledger: Ledger): SimpleColumn<LaneRow>[] {
  const { t, i18n } = useTranslation();
  const number = (n: number | null | undefined) => (typeof n === 'number' ? formatNumber(n, i18n.language) : '–');
  const stateOf = (id: string) => ledger.gateways.find((g) => g.id === id)?.status;
  const laneName = ({ gateway, lane }: LaneRow) =>
    isForeign(gateway) ? t('system.foreign') : t(`system.lane_of.${lane}`, { defaultValue: String(lane) });
  const drain = ({ waiting }: LaneRow) => {
    if (waiting?.is_stalled) return t('system.stalled');
    if (!waiting?.waiting_batches || typeof waiting.drain_s !== 'number') return '–';
    if (typeof waiting.oldest_s === 'number' && waiting.oldest_s < BACKLOG_FROM_S) return '–';
    return waiting.drain_s < 0 ? t('system.not_shrinking') : formatAge(waiting.drain_s * 1000);
  };
  return [
    { header: t('system.gateway'), isMono: true, cell: (row) => row.gateway },
    { header: t('device.state_label'), cell: (row) => <GatewayState state={stateOf(row.gateway)} /> },
    { header: t('system.lane'), cell: laneName },
    { header: t('system.stored_points'), isNumber: true, cell: (row) => number(row.points) },
    { header: t('system.batches'), isNumber: true, cell: (row) => number(row.batches) },
    { header: t('system.waiting_points'), isNumber: true, cell: (row) => number(row.waiting?.waiting_points) },
    { header: t('system.oldest'), isNumber: true, cell: oldestText },
    { header: t('system.drain'), isNumber: true, cell: drain },
    { header: t('system.missing'), isNumber: true, cell: (row) => number(row.missing) },
    {
      header: t('system.dropped'),
      isNumber: true,
      cell: (row) => number(row.dropped),
      title: (row) => row.gaps.map(({ cause }) => t(`system.cause.${cause}`, { defaultValue: cause })).join(', '),
    },
    { header: t('system.duplicate_batches'), isNumber: true, cell: (row) => number(row.duplicates) },
    {
      header: t('system.last_stored'),
      isNumber: true,
      cell: (row) => <Age at={row.updatedAt} />,
      title: (row) => (row.updatedAt ? formatDateTime(Date.parse(row.updatedAt), i18n.language) : ''),
    },
  ];
}

function Age({ at }: { at: string | null }) {
  const now = useServerNow();
  return at === null ? '–' : formatAge(now - Date.parse(at));
}

/** Ingestion's own numbers have no gateway. */
function GatewayState({ state }: { state: LedgerGateway['status'] | undefined }) {
  return state ? <Ne107Mark state={state} /> : '–';
}
