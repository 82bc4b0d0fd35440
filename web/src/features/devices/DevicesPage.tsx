import { Button, TextInput } from '@mantine/core';
import { IconPlus, IconSearch, IconServer2 } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useDeferredValue, useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import type { Device } from '../../api/gen/model';
import { devicesQuery } from '../../api/queries';
import { Page } from '../../app/Page';
import classes from '../../app/Page.module.css';
import { usePermission } from '../../app/session';
import { DataGrid, type GridColumn } from '../../components/DataGrid';
import { EmptyState } from '../../components/EmptyState';
import { ProblemPanel } from '../../components/ProblemPanel';
import { DeviceLastError, DeviceLastSeen, DeviceState, endpointOf } from './DeviceState';

const route = getRouteApi('/shell/devices');

function matches(device: Device, q: string): boolean {
  const text = `${device.id} ${device.name ?? ''} ${device.description ?? ''} ${endpointOf(device)}`.toLowerCase();
  return text.includes(q.toLowerCase());
}

export function DevicesPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { q = '' } = route.useSearch();
  const filter = useDeferredValue(q);
  const devices = useQuery(devicesQuery);
  const canEdit = usePermission('devices.write');
  const columns = useColumns();
  const rows = useMemo(() => (devices.data?.items ?? []).filter((d) => matches(d, filter)), [devices.data, filter]);
  const add = canEdit && (
    <Button component={Link} to="/devices/new" leftSection={<IconPlus size={16} />}>
      {t('device.add')}
    </Button>
  );
  return (
    <Page title={t('nav.devices')} actions={add}>
      {devices.error && <ProblemPanel error={devices.error} onRetry={() => void devices.refetch()} />}
      {devices.data?.items.length === 0 && (
        <EmptyState icon={<IconServer2 />} title={t('device.empty_title')} text={t('device.empty_text')} action={add} />
      )}
      {devices.data && devices.data.items.length > 0 && (
        <>
          <div className={classes['toolbar']}>
            <TextInput
              w={280}
              leftSection={<IconSearch size={15} />}
              placeholder={t('device.filter')}
              aria-label={t('device.filter')}
              value={q}
              onChange={(e) => {
                const next = e.currentTarget.value;
                void navigate({ to: '/devices', search: next === '' ? {} : { q: next }, replace: true });
              }}
            />
            <span className="nx-muted">
              {t('grid.count', { shown: rows.length, total: devices.data.items.length })}
            </span>
          </div>
          <DataGrid
            label={t('nav.devices')}
            rows={rows}
            rowId={(d) => d.id}
            columns={columns}
            onOpen={(d) => void navigate({ to: '/devices/$deviceId', params: { deviceId: d.id } })}
          />
        </>
      )}
    </Page>
  );
}

function useColumns(): GridColumn<Device>[] {
  const { t } = useTranslation();
  return useMemo(
    () => [
      {
        id: 'state',
        header: t('device.state_label'),
        width: '130px',
        sortBy: (d) => d.status.state,
        cell: (d) => <DeviceState device={d} />,
      },
      {
        id: 'id',
        header: t('device.id'),
        width: 'minmax(110px, 1fr)',
        sortBy: (d) => d.id,
        cell: (d) => <span className="nx-mono">{d.id}</span>,
      },
      {
        id: 'name',
        header: t('device.name'),
        width: 'minmax(120px, 1.4fr)',
        sortBy: (d) => d.name ?? '',
        cell: (d) => d.name,
      },
      {
        id: 'endpoint',
        header: t('device.endpoint'),
        width: 'minmax(185px, 1fr)',
        sortBy: endpointOf,
        cell: (d) => <span className="nx-mono">{endpointOf(d)}</span>,
      },
      {
        id: 'tags',
        header: t('nav.tags'),
        width: '64px',
        align: 'right',
        sortBy: (d) => d.tag_count,
        cell: (d) => d.tag_count,
      },
      {
        id: 'poll',
        header: t('device.poll_interval'),
        width: '104px',
        align: 'right',
        sortBy: (d) => d.poll_interval ?? '',
        cell: (d) => d.poll_interval,
      },
      {
        id: 'seen',
        header: t('device.last_seen'),
        width: '124px',
        align: 'right',
        cell: (d) => <DeviceLastSeen device={d} />,
      },
      {
        id: 'error',
        header: t('device.last_error'),
        width: 'minmax(160px, 2.4fr)',
        cell: (d) => <DeviceLastError device={d} />,
      },
    ],
    [t],
  );
}
