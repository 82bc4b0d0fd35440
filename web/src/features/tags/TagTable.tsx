// Tags with live value, quality and age; a row opens the inspector beside the table.
import { ActionIcon, Group, TextInput } from '@mantine/core';
import { IconChartLine, IconEdit, IconSearch, IconTags } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useDeferredValue, useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { Tag } from '../../api/gen/model';
import { tagKey } from '../../app/format';
import classes from '../../app/Page.module.css';
import { usePermission } from '../../app/session';
import { DataGrid, type GridColumn } from '../../components/DataGrid';
import { EmptyState } from '../../components/EmptyState';
import { AgeMark, LiveValue, QualityMark } from '../../components/LiveValue';
import { isWritable } from './tagFields';
import { TagInspector } from './TagInspector';
import { WriteDialog } from './WriteDialog';

interface TableSearch {
  q?: string;
  tag?: string;
}

interface Props {
  tags: Tag[];
  isCut: boolean;
  q: string;
  selected?: string;
  showDevice?: boolean;
  emptyAction: ReactNode;
  onSearch: (search: TableSearch) => void;
}

const matches = (tag: Tag, q: string): boolean =>
  `${tagKey(tag)} ${tag.name ?? ''} ${tag.topic} ${tag.address ?? ''} ${tag.unit ?? ''}`.toLowerCase().includes(q);

export function TagTable({ tags, isCut, q, selected, showDevice = false, emptyAction, onSearch }: Props) {
  const { t } = useTranslation();
  const filter = useDeferredValue(q.toLowerCase());
  const [writing, setWriting] = useState<Tag | null>(null);
  const rows = useMemo(() => (filter === '' ? tags : tags.filter((tag) => matches(tag, filter))), [tags, filter]);
  const columns = useColumns(showDevice, setWriting);
  const shown = tags.find((tag) => tagKey(tag) === selected);
  const search = (next: TableSearch) => onSearch({ ...(next.q && { q: next.q }), ...(next.tag && { tag: next.tag }) });

  if (tags.length === 0)
    return (
      <EmptyState icon={<IconTags />} title={t('tag.empty_title')} text={t('tag.empty_text')} action={emptyAction} />
    );
  return (
    <>
      <div className={classes['toolbar']}>
        <TextInput
          w={280}
          leftSection={<IconSearch size={15} />}
          placeholder={t('tag.filter')}
          aria-label={t('tag.filter')}
          value={q}
          onChange={(e) => search({ q: e.currentTarget.value, tag: selected })}
        />
        <span className="nx-muted">
          {t(isCut ? 'grid.count_cut' : 'grid.count', { shown: rows.length, total: tags.length })}
        </span>
      </div>
      <div className={classes['split']}>
        <DataGrid
          label={t('nav.tags')}
          rows={rows}
          rowId={tagKey}
          columns={columns}
          selectedId={shown && tagKey(shown)}
          onOpen={(tag) => search({ q, tag: tagKey(tag) })}
        />
        {shown && (
          <TagInspector
            key={tagKey(shown)}
            tag={shown}
            onWrite={() => setWriting(shown)}
            onClose={() => search({ q })}
          />
        )}
      </div>
      {writing && <WriteDialog tag={writing} onClose={() => setWriting(null)} />}
    </>
  );
}

function useColumns(showDevice: boolean, onWrite: (tag: Tag) => void): GridColumn<Tag>[] {
  const { t } = useTranslation();
  const canWrite = usePermission('tags.write');
  return useMemo(() => {
    const device: GridColumn<Tag> = {
      id: 'device',
      header: t('tag.device'),
      width: 'minmax(120px, 0.8fr)',
      sortBy: (tag) => tag.device_id,
      cell: (tag) => <span className="nx-mono nx-muted">{tag.device_id}</span>,
    };
    return [
      ...(showDevice ? [device] : []),
      {
        id: 'id',
        header: t('tag.id'),
        width: 'minmax(150px, 1fr)',
        sortBy: (tag) => tag.id,
        cell: (tag) => <span className="nx-mono">{tag.id}</span>,
      },
      {
        id: 'name',
        header: t('tag.name'),
        width: 'minmax(140px, 1.2fr)',
        sortBy: (tag) => tag.name ?? '',
        cell: (tag) => <span title={tag.description}>{tag.name}</span>,
      },
      { id: 'value', header: t('tag.value'), width: '190px', align: 'right', cell: (tag) => <LiveValue tag={tag} /> },
      { id: 'quality', header: t('tag.quality'), width: '130px', cell: (tag) => <QualityMark tag={tag} /> },
      { id: 'age', header: t('tag.age'), width: '100px', align: 'right', cell: (tag) => <AgeMark tag={tag} /> },
      {
        id: 'address',
        header: t('tag.address'),
        width: 'minmax(100px, 0.7fr)',
        sortBy: (tag) => tag.address ?? '',
        cell: (tag) => <span className="nx-mono nx-muted">{tag.address}</span>,
      },
      {
        id: 'type',
        header: t('tag.data_type'),
        width: '90px',
        sortBy: (tag) => tag.data_type ?? '',
        cell: (tag) => <span className="nx-muted">{tag.data_type}</span>,
      },
      {
        id: 'actions',
        header: t('grid.actions'),
        width: '92px',
        cell: (tag) => (
          <Group gap={4} wrap="nowrap">
            <ActionIcon
              variant="subtle"
              color="gray"
              size={26}
              component={Link}
              to={`/trends?pens=${encodeURIComponent(tagKey(tag))}`}
              title={t('trend.open')}
              aria-label={t('trend.open_of', { tag: tag.id })}
            >
              <IconChartLine size={16} />
            </ActionIcon>
            {canWrite && isWritable(tag) && (
              <ActionIcon
                variant="subtle"
                color="gray"
                size={26}
                onClick={() => onWrite(tag)}
                title={t('write.action')}
                aria-label={t('write.action_of', { tag: tag.id })}
              >
                <IconEdit size={16} />
              </ActionIcon>
            )}
          </Group>
        ),
      },
    ];
  }, [t, showDevice, canWrite, onWrite]);
}
