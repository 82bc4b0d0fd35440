// Add or edit a tag, with a test read of exactly what is entered. Register tables are Modbus's own; the fields of other
// protocols come from the driver's table.
import { Button, Drawer, Group, Select, SimpleGrid, Stack, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useForm } from 'react-hook-form';
import { useTranslation } from 'react-i18next';
import { createTag, replaceTag, testDeviceSettings } from '../../api/gen/client';
import type { Device, Driver, Tag } from '../../api/gen/model';
import { driversQuery } from '../../api/queries';
import { parseDuration } from '../../app/format';
import { notifyDone } from '../../app/notify';
import { ChoiceField, NumberField, SwitchField } from '../../components/FormFields';
import { ProblemPanel } from '../../components/ProblemPanel';
import { markFields } from '../../components/useServerErrors';
import { settingsOfDevice } from '../devices/deviceFields';
import { driverOf } from '../devices/driverSettings';
import { DriverFields } from '../devices/DriverFields';
import { TestPanel } from '../devices/TestPanel';
import {
  BYTE_ORDERS,
  DATA_TYPES,
  DEADBAND_TYPES,
  fieldOfTagPointer,
  fieldsOfTag,
  furtherSettings,
  hasByteOrder,
  hasRegisters,
  isBit,
  isReadOnly,
  newTag,
  REGISTER_TYPES,
  settingsOf,
  tableOfAddress,
  type TagFields,
} from './tagFields';

interface Props {
  device: Device;
  tag?: Tag;
  onClose: () => void;
}

export function TagForm(props: Props) {
  const drivers = useQuery(driversQuery);
  if (drivers.error) return <ProblemPanel error={drivers.error} onRetry={() => void drivers.refetch()} />;
  return drivers.data ? <LoadedForm {...props} driver={driverOf(drivers.data, props.device.protocol)} /> : null;
}

function LoadedForm({ device, tag: stored, driver, onClose }: Props & { driver: Driver | undefined }) {
  // The version that was on the screen when editing began: a newer one must not slip under what is typed.
  const [tag] = useState(stored);
  const { t } = useTranslation();
  const client = useQueryClient();
  const [areFieldsMarked, setFieldsMarked] = useState(false);
  const form = useForm<TagFields>({
    defaultValues: tag ? fieldsOfTag(tag, driver) : newTag(driver),
    mode: 'onTouched',
  });
  const { errors } = form.formState;
  const save = useMutation({
    mutationFn: (fields: TagFields) => {
      const body = settingsOf(fields, tag, driver);
      return tag
        ? replaceTag(device.id, tag.id, body, { headers: { 'If-Match': tag.etag } })
        : createTag(device.id, body);
    },
    onSuccess: async (saved) => {
      await client.invalidateQueries({ queryKey: ['tags'] });
      await client.invalidateQueries({ queryKey: ['tag', device.id, saved.id] });
      await client.invalidateQueries({ queryKey: ['devices'] });
      notifyDone(t('tag.saved', { id: saved.id }));
      onClose();
    },
    onError: (error) => setFieldsMarked(markFields(form, error, (pointer) => fieldOfTagPointer(pointer, driver))),
  });
  const test = async () => {
    if (!(await form.trigger())) return null;
    return testDeviceSettings({ ...settingsOfDevice(device), tags: [settingsOf(form.getValues(), tag, driver)] });
  };

  const registers = hasRegisters(driver);
  const table = form.watch('register_type');
  const isTableBit = registers && isBit(table);
  const type = form.watch('data_type');
  const deadband = form.watch('deadband_type');
  const isNumber = !isTableBit && type !== 'string' && type !== 'bool';
  const required = t('form.required');
  const field = (name: Exclude<keyof TagFields, 'driver'>) => ({
    label: t(`tag.${name}`),
    error: errors[name]?.message,
  });
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size={560}
      title={tag ? t('tag.edit_title', { id: tag.id }) : t('tag.add_title', { device: device.name ?? device.id })}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <form aria-label={t('tag.form')} onSubmit={(e) => void form.handleSubmit((f) => save.mutate(f))(e)} noValidate>
        <Stack gap="sm">
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <TextInput
              {...field('id')}
              readOnly={tag !== undefined}
              variant={tag ? 'filled' : 'default'}
              classNames={{ input: 'nx-mono' }}
              {...form.register('id', {
                required,
                pattern: { value: /^[A-Za-z0-9_.-]{1,64}$/, message: t('form.id') },
              })}
            />
            <TextInput {...field('name')} {...form.register('name')} />
            {registers && (
              <ChoiceField
                form={form}
                name="register_type"
                label={t('tag.register_type')}
                data={REGISTER_TYPES.map((value) => ({ value, label: t(`tag.table.${value}`) }))}
              />
            )}
            <TextInput
              {...field('address')}
              placeholder={registers ? t('tag.address_example') : undefined}
              classNames={{ input: 'nx-mono' }}
              {...form.register('address', {
                required,
                validate: (address, fields) => {
                  const named = registers ? tableOfAddress(address) : undefined;
                  if (!named || named === fields.register_type) return true;
                  return t('tag.address_table', { table: t(`tag.table.${named}`) });
                },
              })}
            />
            {isTableBit ? (
              <Select label={t('tag.data_type')} data={['bool']} value="bool" readOnly />
            ) : (
              <ChoiceField form={form} name="data_type" label={t('tag.data_type')} data={DATA_TYPES} />
            )}
            {registers && !isTableBit && hasByteOrder(type) && (
              <ChoiceField
                form={form}
                name="byte_order"
                label={t('tag.byte_order')}
                data={BYTE_ORDERS.map((value) => ({ value, label: `${value} · ${t(`tag.order.${value}`)}` }))}
              />
            )}
            {registers && !isTableBit && type === 'string' && (
              <NumberField
                form={form}
                name="register_count"
                label={t('tag.register_count')}
                min={1}
                max={125}
                integer
                required
              />
            )}
            <TextInput {...field('unit')} {...form.register('unit')} />
            {!(registers && isReadOnly(table)) && (
              <ChoiceField
                form={form}
                name="access_mode"
                label={t('tag.access_mode')}
                data={(['read', 'readwrite', 'write'] as const).map((value) => ({
                  value,
                  label: t(`tag.access.${value}`),
                }))}
              />
            )}
            {isNumber && (
              <>
                <NumberField form={form} name="scale_factor" label={t('tag.scale_factor')} placeholder="1" />
                <NumberField form={form} name="offset" label={t('tag.offset')} placeholder="0" />
                <NumberField form={form} name="clamp_min" label={t('tag.clamp_min')} />
                <NumberField form={form} name="clamp_max" label={t('tag.clamp_max')} />
                <ChoiceField
                  form={form}
                  name="deadband_type"
                  label={t('tag.deadband_type')}
                  data={DEADBAND_TYPES.map((value) => ({
                    value,
                    label: t(`tag.band.${value}`),
                  }))}
                />
                {deadband !== 'none' && (
                  <NumberField form={form} name="deadband" label={t('tag.deadband')} min={0} required />
                )}
              </>
            )}
            <TextInput
              {...field('poll_interval')}
              placeholder={device.poll_interval ?? ''}
              {...form.register('poll_interval', {
                validate: (v) => v === '' || parseDuration(v) !== null || t('form.duration'),
              })}
            />
          </SimpleGrid>
          <DriverFields form={form} prefix="driver" settings={furtherSettings(driver)} />
          <SwitchField form={form} name="enabled" label={t('tag.enabled')} />
          <TestPanel run={test} hint={t('test.hint_tag')} />
          {save.error && <ProblemPanel error={save.error} hideFields={areFieldsMarked} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t('action.cancel')}
            </Button>
            <Button type="submit" loading={save.isPending}>
              {tag ? t('action.save') : t('tag.create')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Drawer>
  );
}
