// How the gateway reads a device: the requests, what they cost, what the device refuses, and who gets less than asked for.
import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { DevicePlan, PlanCycle, PlanTag } from '../../api/gen/model';
import { planQuery } from '../../api/queries';
import { formatMs } from '../../app/format';
import { Facts } from '../../components/Facts';
import { ProblemPanel } from '../../components/ProblemPanel';
import { SimpleTable, type SimpleColumn } from '../../components/SimpleTable';
import classes from './PlanView.module.css';
import { type RequestRow, requestRows, shortTags } from './plan';

export function PlanView({ deviceId }: { deviceId: string }) {
  const { t } = useTranslation();
  const plan = useQuery(planQuery(deviceId));
  if (plan.error) return <ProblemPanel error={plan.error} onRetry={() => void plan.refetch()} />;
  return plan.data ? <PlanTables plan={plan.data} /> : <Text className="nx-muted">{t('plan.loading')}</Text>;
}

export function PlanTables({ plan }: { plan: DevicePlan }) {
  const { t } = useTranslation();
  return (
    <div className={classes['plan']} tabIndex={0} role="region" aria-label={t('device.view_plan')}>
      {!plan.is_connected && <Text className="nx-muted">{t('plan.not_connected')}</Text>}
      <Cycle cycle={plan.cycle} />
      <Requests plan={plan} />
      <Shorts plan={plan} />
    </div>
  );
}

const ms = (value: number | null | undefined): string => (typeof value === 'number' ? formatMs(value) : '–');

function Cycle({ cycle }: { cycle: PlanCycle }) {
  const { t } = useTranslation();
  return (
    <Facts
      facts={[
        [t('plan.requests'), cycle.requests],
        [t('plan.bytes_out'), cycle.bytes_out],
        [t('plan.bytes_in'), cycle.bytes_in],
        [t('plan.gap_bytes'), cycle.gap_bytes],
        [t('plan.holes'), cycle.holes],
        [t('plan.predicted'), ms(cycle.predicted_ms)],
        [t('plan.achieved_cycle'), ms(cycle.achieved_ms)],
      ]}
    />
  );
}

function Requests({ plan }: { plan: DevicePlan }) {
  const { t } = useTranslation();
  const columns: SimpleColumn<RequestRow>[] = [
    { header: t('plan.request'), isMono: true, cell: ({ request }) => request.text },
    {
      header: t('plan.priority'),
      cell: ({ list }) => t(`plan.class.${list.priority}`, { defaultValue: list.priority }),
    },
    { header: t('plan.asked'), isNumber: true, cell: ({ list }) => ms(list.interval_ms) },
    { header: t('plan.achieved'), isNumber: true, cell: ({ list }) => ms(list.achieved_interval_ms) },
    { header: t('plan.bytes_out'), isNumber: true, cell: ({ request }) => request.bytes_out },
    { header: t('plan.bytes_in'), isNumber: true, cell: ({ request }) => request.bytes_in },
    { header: t('plan.gap_bytes'), isNumber: true, cell: ({ request }) => request.gap_bytes },
    {
      header: t('nav.tags'),
      isNumber: true,
      cell: ({ request }) => request.tags.length,
      title: ({ request }) => request.tags.join(', '),
    },
    { header: t('plan.hole'), cell: ({ request }) => request.hole },
  ];
  return (
    <SimpleTable
      caption={t('plan.requests_caption')}
      columns={columns}
      rows={requestRows(plan)}
      rowKey={({ key }) => key}
      isMarked={({ request }) => typeof request.hole === 'string'}
    />
  );
}

function Shorts({ plan }: { plan: DevicePlan }) {
  const { t } = useTranslation();
  const tags = shortTags(plan);
  if (tags.length === 0) return plan.is_connected ? <Text>{t('plan.all_well')}</Text> : null;
  const columns: SimpleColumn<PlanTag>[] = [
    { header: t('tag.id'), isMono: true, cell: (tag) => tag.id },
    { header: t('tag.address'), isMono: true, cell: (tag) => tag.address },
    { header: t('plan.asked'), isNumber: true, cell: (tag) => ms(tag.interval_ms) },
    { header: t('plan.achieved'), isNumber: true, cell: (tag) => ms(tag.achieved_interval_ms) },
    { header: t('plan.why'), cell: (tag) => tag.hole ?? t('plan.too_slow') },
  ];
  return (
    <SimpleTable
      caption={t('plan.short_caption', { count: tags.length, total: plan.tags.length })}
      columns={columns}
      rows={tags}
      rowKey={(tag) => tag.id}
      isMarked={(tag) => typeof tag.hole === 'string'}
    />
  );
}
