// Everything about one tag beside the table: value, short trend, settings; Escape closes.
import { ActionIcon, Anchor, Button, Group, Modal, Text } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { IconEdit, IconPencil, IconTrash, IconX } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { deleteTag } from '../../api/gen/client';
import type { Tag } from '../../api/gen/model';
import { deviceQuery } from '../../api/queries';
import { tagKey } from '../../app/format';
import { usePermission } from '../../app/session';
import { AgeMark, LiveValue, QualityMark } from '../../components/LiveValue';
import { ProblemPanel } from '../../components/ProblemPanel';
import { isWritable } from './tagFields';
import { TagForm } from './TagForm';
import classes from './TagInspector.module.css';

const LiveTrend = lazy(() => import('../trends/LiveTrend').then((m) => ({ default: m.LiveTrend })));

interface Props {
  tag: Tag;
  onWrite: () => void;
  onClose: () => void;
}

export function TagInspector({ tag, onWrite, onClose }: Props) {
  const { t } = useTranslation();
  const [dialog, setDialog] = useState<'edit' | 'delete' | null>(null);
  const canWrite = usePermission('tags.write');
  const canEdit = usePermission('devices.write');
  const device = useQuery(deviceQuery(tag.device_id));
  useHotkeys([['Escape', () => dialog === null && onClose()]]);
  return (
    <aside className={classes['inspector']} aria-label={t('tag.inspector', { tag: tag.id })}>
      <div className={classes['head']}>
        <div className={classes['title']}>
          <h2>{tag.name ?? tag.id}</h2>
          <div className="nx-mono nx-muted">{tagKey(tag)}</div>
        </div>
        <ActionIcon variant="subtle" color="gray" size={28} onClick={onClose} aria-label={t('action.close')}>
          <IconX size={16} />
        </ActionIcon>
      </div>
      <div className={classes['value']}>
        <LiveValue tag={tag} size="big" />
        <div>
          <QualityMark tag={tag} /> · <AgeMark tag={tag} />
        </div>
      </div>
      <Suspense fallback={<div className={classes['trend']} />}>
        <LiveTrend pens={[tagKey(tag)]} win="15m" height={180} />
      </Suspense>
      <Anchor component={Link} to={`/trends?pens=${encodeURIComponent(tagKey(tag))}`} fz="sm">
        {t('trend.open')}
      </Anchor>
      <Facts tag={tag} />
      <Group gap="xs">
        {canWrite && isWritable(tag) && (
          <Button leftSection={<IconEdit size={16} />} onClick={onWrite}>
            {t('write.action')}
          </Button>
        )}
        {canEdit && device.data && (
          <>
            <Button variant="default" leftSection={<IconPencil size={16} />} onClick={() => setDialog('edit')}>
              {t('action.edit')}
            </Button>
            <Button variant="default" leftSection={<IconTrash size={16} />} onClick={() => setDialog('delete')}>
              {t('action.delete')}
            </Button>
          </>
        )}
      </Group>
      {dialog === 'edit' && device.data && <TagForm device={device.data} tag={tag} onClose={() => setDialog(null)} />}
      {dialog === 'delete' && <DeleteTag tag={tag} onClose={() => setDialog(null)} onDeleted={onClose} />}
    </aside>
  );
}

function Facts({ tag }: { tag: Tag }) {
  const { t } = useTranslation();
  const facts: [string, string | number | undefined][] = [
    [t('tag.topic'), tag.topic],
    [t('tag.address'), tag.address],
    [t('tag.register_type'), tag.register_type && t(`tag.table.${tag.register_type}`)],
    [t('tag.data_type'), tag.data_type],
    [t('tag.byte_order'), tag.byte_order],
    [t('tag.scale_factor'), tag.scale_factor],
    [t('tag.offset'), tag.offset],
    [t('tag.clamp_min'), tag.clamp_min],
    [t('tag.clamp_max'), tag.clamp_max],
    [t('tag.poll_interval'), tag.poll_interval],
    [t('tag.access_mode'), tag.access_mode && t(`tag.access.${tag.access_mode}`)],
  ];
  return (
    <dl className={classes['facts']}>
      {facts
        .filter(([, value]) => value !== undefined && value !== '')
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd className="nx-mono">{value}</dd>
          </div>
        ))}
    </dl>
  );
}

function DeleteTag({ tag, onClose, onDeleted }: { tag: Tag; onClose: () => void; onDeleted: () => void }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: () => deleteTag(tag.device_id, tag.id, { headers: { 'If-Match': tag.etag } }),
    onSuccess: async () => {
      onDeleted();
      await client.invalidateQueries({ queryKey: ['tags'] });
      await client.invalidateQueries({ queryKey: ['devices'] });
    },
  });
  return (
    <Modal
      opened
      onClose={onClose}
      title={t('tag.delete_title', { id: tag.id })}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <Text mb="md">{t('tag.delete_text')}</Text>
      {remove.error && <ProblemPanel error={remove.error} />}
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={onClose}>
          {t('action.cancel')}
        </Button>
        <Button color="red" loading={remove.isPending} onClick={() => remove.mutate()}>
          {t('action.delete')}
        </Button>
      </Group>
    </Modal>
  );
}
