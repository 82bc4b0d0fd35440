// Writes a value to a device: current value and limits in sight, one deliberate step, the read-back as the answer.
import { Button, Group, Modal, NumberInput, SegmentedControl, Select, Stack, Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { writeTag } from '../../api/gen/client';
import type { Tag, WriteResult } from '../../api/gen/model';
import { formatMs, formatScalar, tagKey } from '../../app/format';
import { AgeMark, LiveValue, QualityMark } from '../../components/LiveValue';
import { ProblemPanel } from '../../components/ProblemPanel';
import { writeFault } from './tagFields';
import classes from './WriteDialog.module.css';

type Value = number | string | boolean;

const kindOf = (tag: Tag): 'bool' | 'enum' | 'string' | 'number' => {
  if (tag.data_type === 'bool') return 'bool';
  if (tag.data_type === 'string') return 'string';
  return tag.enum && Object.keys(tag.enum).length > 0 ? 'enum' : 'number';
};

export function WriteDialog({ tag, onClose }: { tag: Tag; onClose: () => void }) {
  const { t } = useTranslation();
  const kind = kindOf(tag);
  const [text, setText] = useState<string | number>(kind === 'bool' ? 'true' : '');
  const [reason, setReason] = useState('');
  const [fault, setFault] = useState<string | null>(null);
  const write = useMutation({
    mutationFn: (value: Value) =>
      writeTag(tag.device_id, tag.id, { value, ...(reason.trim() && { reason: reason.trim() }) }),
  });
  const unit = tag.target_unit ?? tag.unit;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const value = kind === 'bool' ? text === 'true' : kind === 'string' ? String(text) : Number(text);
    if (kind !== 'string' && text === '') return setFault(t('form.required'));
    const wrong = typeof value === 'number' ? writeFault(tag, value) : null;
    setFault(wrong && t(wrong.key, { limit: wrong.limit, unit: unit ?? '' }));
    if (!wrong) write.mutate(value);
  };
  const change = (v: string | number | null) => {
    setText(v ?? '');
    setFault(null);
  };
  const label = unit && kind === 'number' ? t('write.new_value_unit', { unit }) : t('write.new_value');
  return (
    <Modal
      opened
      onClose={onClose}
      title={t('write.title', { tag: tag.name ?? tag.id })}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <form onSubmit={submit} noValidate aria-label={t('write.form')}>
        <Stack gap="sm">
          <dl className={classes['facts']}>
            <dt>{t('write.target')}</dt>
            <dd className="nx-mono">{tagKey(tag)}</dd>
            <dt>{t('write.current')}</dt>
            <dd>
              <LiveValue tag={tag} /> <QualityMark tag={tag} /> <AgeMark tag={tag} />
            </dd>
            <dt>{t('write.limits')}</dt>
            <dd className="nx-mono">
              {tag.clamp_min === undefined && tag.clamp_max === undefined
                ? t('write.no_limits', { type: tag.data_type ?? '' })
                : `${tag.clamp_min ?? '−∞'} … ${tag.clamp_max ?? '∞'} ${unit ?? ''}`}
            </dd>
          </dl>
          {kind === 'bool' && (
            <SegmentedControl
              aria-label={t('write.new_value')}
              value={String(text)}
              onChange={change}
              data={[
                { value: 'true', label: t('value.on') },
                { value: 'false', label: t('value.off') },
              ]}
            />
          )}
          {kind === 'enum' && (
            <Select
              label={label}
              value={text === '' ? null : String(text)}
              onChange={change}
              data={Object.entries(tag.enum ?? {}).map(([value, name]) => ({ value, label: `${value} · ${name}` }))}
              error={fault}
            />
          )}
          {kind === 'string' && (
            <TextInput label={label} value={text} onChange={(e) => change(e.currentTarget.value)} error={fault} />
          )}
          {kind === 'number' && (
            <NumberInput
              label={label}
              value={text}
              onChange={change}
              error={fault}
              hideControls
              data-autofocus
              allowDecimal={tag.data_type?.startsWith('float') || tag.scale_factor !== undefined}
            />
          )}
          <TextInput
            label={t('write.reason')}
            description={t('form.optional')}
            value={reason}
            maxLength={500}
            onChange={(e) => setReason(e.currentTarget.value)}
          />
          <div aria-live="assertive">
            {write.data && <Done result={write.data} unit={unit ?? ''} />}
            {write.error && <ProblemPanel error={write.error} />}
          </div>
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {write.data ? t('action.close') : t('action.cancel')}
            </Button>
            <Button type="submit" loading={write.isPending}>
              {t('write.action')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Done({ result, unit }: { result: WriteResult; unit: string }) {
  const { t, i18n } = useTranslation();
  const value = formatScalar(result.value, i18n.language, { on: t('value.on'), off: t('value.off') });
  return (
    <div className={classes['done']} role="status">
      <Text fw={600}>{t('write.done')}</Text>
      <Text>{t('write.read_back', { value: `${value} ${unit}`.trim(), time: formatMs(result.duration_ms) })}</Text>
    </div>
  );
}
