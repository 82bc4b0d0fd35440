// Add or edit a Modbus TCP device, with the connection test beside the form.
import { Button, Group, Select, SimpleGrid, Textarea, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useForm } from 'react-hook-form';
import { useTranslation } from 'react-i18next';
import { createDevice, replaceDevice, testDeviceSettings } from '../../api/gen/client';
import type { Device } from '../../api/gen/model';
import { isStatus } from '../../api/problem';
import { deviceQuery } from '../../api/queries';
import { parseDuration } from '../../app/format';
import { notifyDone } from '../../app/notify';
import { Page } from '../../app/Page';
import { NumberField, SwitchField } from '../../components/FormFields';
import { ProblemPanel } from '../../components/ProblemPanel';
import { markFields } from '../../components/useServerErrors';
import { bodyOf, type DeviceFields, emptyDevice, fieldOfPointer, fieldsOf } from './deviceFields';
import classes from './DeviceFormPage.module.css';
import { TestPanel } from './TestPanel';

const editRoute = getRouteApi('/shell/devices/$deviceId/edit');

export function NewDevicePage() {
  const { t } = useTranslation();
  return (
    <Page title={t('device.add')} scroll>
      <DeviceForm />
    </Page>
  );
}

export function EditDevicePage() {
  const { t } = useTranslation();
  const { deviceId } = editRoute.useParams();
  const device = useQuery({ ...deviceQuery(deviceId), staleTime: 0, refetchOnWindowFocus: false });
  const [round, setRound] = useState(0);
  const reload = async () => {
    await device.refetch();
    setRound(round + 1);
  };
  return (
    <Page title={t('device.edit_title', { id: deviceId })} scroll>
      {device.error && <ProblemPanel error={device.error} onRetry={() => void device.refetch()} />}
      {device.data && <DeviceForm key={round} stored={device.data} onReload={() => void reload()} />}
    </Page>
  );
}

interface FormProps {
  stored?: Device;
  onReload?: () => void;
}

function DeviceForm({ stored, onReload }: FormProps) {
  // The version that was on the screen when editing began: a newer one must not slip under what is typed.
  const [device] = useState(stored);
  const { t } = useTranslation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [areFieldsMarked, setFieldsMarked] = useState(false);
  const form = useForm<DeviceFields>({ defaultValues: device ? fieldsOf(device) : emptyDevice, mode: 'onTouched' });
  const { errors } = form.formState;
  const save = useMutation({
    mutationFn: (fields: DeviceFields) => {
      const body = bodyOf(fields, device);
      return device ? replaceDevice(device.id, body, { headers: { 'If-Match': device.etag } }) : createDevice(body);
    },
    onSuccess: async (saved) => {
      client.setQueryData(deviceQuery(saved.id).queryKey, saved);
      await client.invalidateQueries({ queryKey: ['devices'] });
      notifyDone(t('device.saved', { id: saved.id }));
      await navigate({ to: '/devices/$deviceId', params: { deviceId: saved.id } });
    },
    onError: (error) => setFieldsMarked(markFields(form, error, fieldOfPointer)),
  });
  const test = async () => {
    if (!(await form.trigger())) return null;
    return testDeviceSettings(bodyOf(form.getValues(), device));
  };
  const duration = (text: string) => text === '' || parseDuration(text) !== null || t('form.duration');
  const required = t('form.required');
  const field = (name: keyof DeviceFields) => ({ label: t(`device.${name}`), error: errors[name]?.message });
  return (
    <div className={classes['columns']}>
      <form
        className={classes['form']}
        aria-label={t('device.form')}
        onSubmit={(e) => void form.handleSubmit((fields) => save.mutate(fields))(e)}
        noValidate
      >
        <fieldset className={classes['group']}>
          <legend>{t('device.group_identity')}</legend>
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <TextInput
              {...field('id')}
              description={t('device.id_help')}
              readOnly={device !== undefined}
              variant={device ? 'filled' : 'default'}
              classNames={{ input: 'nx-mono' }}
              {...form.register('id', {
                required,
                pattern: { value: /^[A-Za-z0-9_.-]{1,64}$/, message: t('form.id') },
              })}
            />
            <TextInput {...field('name')} description={t('device.name_help')} {...form.register('name')} />
            <TextInput
              {...field('uns_prefix')}
              description={t('device.uns_prefix_help')}
              classNames={{ input: 'nx-mono' }}
              {...form.register('uns_prefix')}
            />
            <Textarea
              {...field('description')}
              description={t('form.optional')}
              autosize
              minRows={1}
              {...form.register('description')}
            />
          </SimpleGrid>
        </fieldset>
        <fieldset className={classes['group']}>
          <legend>{t('device.group_connection')}</legend>
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <Select
              label={t('device.protocol')}
              description={t('device.protocol_help')}
              data={[{ value: 'modbus-tcp', label: 'Modbus TCP' }]}
              value="modbus-tcp"
              allowDeselect={false}
              readOnly
            />
            <TextInput
              {...field('host')}
              description={t('device.host_help')}
              classNames={{ input: 'nx-mono' }}
              {...form.register('host', { required })}
            />
            <NumberField
              form={form}
              name="port"
              label={t('device.port')}
              description={t('device.port_help')}
              min={1}
              max={65535}
              integer
              required
            />
            <NumberField
              form={form}
              name="slave_id"
              label={t('device.slave_id')}
              description={t('device.slave_id_help')}
              min={0}
              max={255}
              integer
              required
            />
            <TextInput
              {...field('timeout')}
              description={t('device.timeout_help')}
              {...form.register('timeout', { validate: duration })}
            />
            <TextInput
              {...field('poll_interval')}
              description={t('device.poll_interval_help')}
              {...form.register('poll_interval', { validate: duration })}
            />
          </SimpleGrid>
        </fieldset>
        <SwitchField form={form} name="enabled" label={t('device.enabled')} />
        {save.error && (
          <ProblemPanel
            error={save.error}
            hideFields={areFieldsMarked}
            onRetry={isStatus(save.error, 412) ? onReload : undefined}
          />
        )}
        <Group justify="flex-end">
          <Button
            variant="default"
            onClick={() =>
              void (device
                ? navigate({ to: '/devices/$deviceId', params: { deviceId: device.id } })
                : navigate({ to: '/devices' }))
            }
          >
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={save.isPending}>
            {device ? t('action.save') : t('device.create')}
          </Button>
        </Group>
      </form>
      <TestPanel run={test} hint={t('test.hint')} />
    </div>
  );
}
