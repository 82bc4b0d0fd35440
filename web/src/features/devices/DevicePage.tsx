// One device: its state and what is wrong with it, and its tags with live values or its read plan.
import { Button, Group, Menu, Modal, SegmentedControl, Text } from '@mantine/core';
import { IconDotsVertical, IconPencil, IconPlugConnected, IconPlus, IconTrash } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { deleteDevice, testDevice } from '../../api/gen/client';
import type { Device } from '../../api/gen/model';
import { deviceQuery, tagsQuery } from '../../api/queries';
import { formatAge } from '../../app/format';
import { notifyDone } from '../../app/notify';
import { Page } from '../../app/Page';
import { usePermission } from '../../app/session';
import { ProblemPanel } from '../../components/ProblemPanel';
import { useServerNow } from '../../live/clock';
import { TagForm } from '../tags/TagForm';
import { TagTable } from '../tags/TagTable';
import classes from './DevicePage.module.css';
import { DeviceLastSeen, DeviceState, endpointOf, useStatus } from './DeviceState';
import { PlanView } from './PlanView';
import { TestPanel } from './TestPanel';

const route = getRouteApi('/shell/devices/$deviceId');

export function DevicePage() {
  const { deviceId } = route.useParams();
  const device = useQuery(deviceQuery(deviceId));
  if (device.error)
    return (
      <Page title={deviceId}>
        <ProblemPanel error={device.error} onRetry={() => void device.refetch()} />
      </Page>
    );
  return device.data ? <DeviceView device={device.data} /> : <Page title={deviceId}>{null}</Page>;
}

function DeviceView({ device }: { device: Device }) {
  const { t } = useTranslation();
  const { q = '', tag, view = 'tags' } = route.useSearch();
  const navigate = useNavigate();
  const tags = useQuery(tagsQuery(device.id));
  const canEdit = usePermission('devices.write');
  const [dialog, setDialog] = useState<'add-tag' | 'test' | 'delete' | null>(null);
  const close = () => setDialog(null);
  const params = { deviceId: device.id };
  const addTag = canEdit && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setDialog('add-tag')}>
      {t('tag.add')}
    </Button>
  );
  return (
    <Page
      title={device.name ?? device.id}
      aside={<DeviceState device={device} />}
      actions={
        <Group gap="xs">
          {addTag}
          {canEdit && (
            <Button
              variant="default"
              leftSection={<IconPencil size={16} />}
              component={Link}
              to={`/devices/${encodeURIComponent(device.id)}/edit`}
            >
              {t('action.edit')}
            </Button>
          )}
          <DeviceMenu onTest={() => setDialog('test')} onDelete={() => setDialog('delete')} canEdit={canEdit} />
        </Group>
      }
    >
      <Facts device={device} />
      <StateNote device={device} />
      <SegmentedControl
        className={classes['views']}
        aria-label={t('device.view')}
        data={[
          { value: 'tags', label: t('nav.tags') },
          { value: 'plan', label: t('device.view_plan') },
        ]}
        value={view}
        onChange={(next) =>
          void navigate({
            to: '/devices/$deviceId',
            params,
            search: next === 'plan' ? { view: 'plan' } : {},
            replace: true,
          })
        }
      />
      {view === 'plan' && <PlanView deviceId={device.id} />}
      {tags.error && <ProblemPanel error={tags.error} onRetry={() => void tags.refetch()} />}
      {view === 'tags' && tags.data && (
        <TagTable
          tags={tags.data.items}
          isCut={tags.data.isCut}
          q={q}
          selected={tag}
          emptyAction={addTag}
          onSearch={(search) => void navigate({ to: '/devices/$deviceId', params, search, replace: true })}
        />
      )}
      {dialog === 'add-tag' && <TagForm device={device} onClose={close} />}
      <Modal
        opened={dialog === 'test'}
        onClose={close}
        title={t('test.label')}
        size="lg"
        closeButtonProps={{ 'aria-label': t('action.close') }}
      >
        <TestPanel run={() => testDevice(device.id)} hint={t('test.hint_stored')} isBare />
      </Modal>
      {dialog === 'delete' && <DeleteDialog device={device} onClose={close} />}
    </Page>
  );
}

function DeviceMenu({ onTest, onDelete, canEdit }: { onTest: () => void; onDelete: () => void; canEdit: boolean }) {
  const { t } = useTranslation();
  const canTest = usePermission('devices.test');
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" px={8} aria-label={t('action.more')}>
          <IconDotsVertical size={16} />
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<IconPlugConnected size={16} />} onClick={onTest} disabled={!canTest}>
          {t('test.action')}
        </Menu.Item>
        <Menu.Item leftSection={<IconTrash size={16} />} onClick={onDelete} disabled={!canEdit}>
          {t('device.delete')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function Facts({ device }: { device: Device }) {
  const { t } = useTranslation();
  const { gateway } = useStatus(device);
  return (
    <dl className={classes['facts']}>
      <Fact name={t('device.id')}>
        <span className="nx-mono">{device.id}</span>
      </Fact>
      <Fact name={t('device.endpoint')}>
        <span className="nx-mono">{endpointOf(device)}</span>
      </Fact>
      <Fact name={t('device.poll_interval')}>{device.poll_interval ?? t('form.default')}</Fact>
      <Fact name={t('device.uns_prefix')}>
        <span className="nx-mono">{device.uns_prefix ?? t('form.default')}</span>
      </Fact>
      <Fact name={t('device.last_seen')}>
        <DeviceLastSeen device={device} />
      </Fact>
      <Fact name={t('device.gateway')}>{gateway ?? '–'}</Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** What is wrong, since when; nothing while all is well. */
function StateNote({ device }: { device: Device }) {
  const { t } = useTranslation();
  const { state, last_error, since } = useStatus(device);
  const now = useServerNow();
  if (state === 'online' || state === 'disabled') return null;
  if (!last_error) return <Text className="nx-muted">{t(`device.note.${state}`)}</Text>;
  return (
    <div className={classes['note']} role="status">
      <strong>
        {t(`device.state.${state}`)}
        {since && ` · ${t('device.since', { age: formatAge(now - Date.parse(since)) })}`}
      </strong>
      <div>{last_error}</div>
    </div>
  );
}

function DeleteDialog({ device, onClose }: { device: Device; onClose: () => void }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const navigate = useNavigate();
  const remove = useMutation({
    mutationFn: () => deleteDevice(device.id, { headers: { 'If-Match': device.etag } }),
    onSuccess: async () => {
      await navigate({ to: '/devices' });
      client.removeQueries({ queryKey: ['devices', device.id] });
      await client.invalidateQueries({ queryKey: ['devices'] });
      await client.invalidateQueries({ queryKey: ['tags'] });
      notifyDone(t('device.deleted', { id: device.id }));
    },
  });
  return (
    <Modal
      opened
      onClose={onClose}
      title={t('device.delete_title', { id: device.id })}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <Text mb="md">{t('device.delete_text', { count: device.tag_count })}</Text>
      {remove.error && <ProblemPanel error={remove.error} />}
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={onClose}>
          {t('action.cancel')}
        </Button>
        <Button color="red" loading={remove.isPending} onClick={() => remove.mutate()}>
          {t('device.delete')}
        </Button>
      </Group>
    </Modal>
  );
}
