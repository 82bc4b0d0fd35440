// How the gateway reads a device: the requests, what they cost, what the device refuses, and who gets less than asked for.
import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { DevicePlan, PlanCycle } from '../../api/gen/model';
import { planQuery } from '../../api/queries';
import { formatMs } from '../../app/format';
import { ProblemPanel } from '../../components/ProblemPanel';
import classes from './PlanView.module.css';
import { requestRows, shortTags } from './plan';

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
  const facts: [string, ReactNode][] = [
    [t('plan.requests'), cycle.requests],
    [t('plan.bytes_out'), cycle.bytes_out],
    [t('plan.bytes_in'), cycle.bytes_in],
    [t('plan.gap_bytes'), cycle.gap_bytes],
    [t('plan.holes'), cycle.holes],
    [t('plan.predicted'), ms(cycle.predicted_ms)],
    [t('plan.achieved_cycle'), ms(cycle.achieved_ms)],
  ];
  return (
    <dl className={classes['facts']}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Requests({ plan }: { plan: DevicePlan }) {
  const { t } = useTranslation();
  return (
    <table>
      <caption>{t('plan.requests_caption')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('plan.request')}</th>
          <th scope="col">{t('plan.priority')}</th>
          <th scope="col" data-number>
            {t('plan.asked')}
          </th>
          <th scope="col" data-number>
            {t('plan.achieved')}
          </th>
          <th scope="col" data-number>
            {t('plan.bytes_out')}
          </th>
          <th scope="col" data-number>
            {t('plan.bytes_in')}
          </th>
          <th scope="col" data-number>
            {t('plan.gap_bytes')}
          </th>
          <th scope="col" data-number>
            {t('nav.tags')}
          </th>
          <th scope="col">{t('plan.hole')}</th>
        </tr>
      </thead>
      <tbody>
        {requestRows(plan).map(({ key, list, request }) => (
          <tr key={key} data-hole={typeof request.hole === 'string' || undefined}>
            <td className="nx-mono">{request.text}</td>
            <td>{t(`plan.class.${list.priority}`, { defaultValue: list.priority })}</td>
            <td data-number>{ms(list.interval_ms)}</td>
            <td data-number>{ms(list.achieved_interval_ms)}</td>
            <td data-number>{request.bytes_out}</td>
            <td data-number>{request.bytes_in}</td>
            <td data-number>{request.gap_bytes}</td>
            <td data-number title={request.tags.join(', ')}>
              {request.tags.length}
            </td>
            <td>{request.hole}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Shorts({ plan }: { plan: DevicePlan }) {
  const { t } = useTranslation();
  const tags = shortTags(plan);
  if (tags.length === 0) return plan.is_connected ? <Text>{t('plan.all_well')}</Text> : null;
  return (
    <table>
      <caption>{t('plan.short_caption', { count: tags.length, total: plan.tags.length })}</caption>
      <thead>
        <tr>
          <th scope="col">{t('tag.id')}</th>
          <th scope="col">{t('tag.address')}</th>
          <th scope="col" data-number>
            {t('plan.asked')}
          </th>
          <th scope="col" data-number>
            {t('plan.achieved')}
          </th>
          <th scope="col">{t('plan.why')}</th>
        </tr>
      </thead>
      <tbody>
        {tags.map((tag) => (
          <tr key={tag.id} data-hole={typeof tag.hole === 'string' || undefined}>
            <td className="nx-mono">{tag.id}</td>
            <td className="nx-mono">{tag.address}</td>
            <td data-number>{ms(tag.interval_ms)}</td>
            <td data-number>{ms(tag.achieved_interval_ms)}</td>
            <td>{tag.hole ?? t('plan.too_slow')}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
