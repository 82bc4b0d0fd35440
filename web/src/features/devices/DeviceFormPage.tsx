// Add or edit a device of any protocol, with the connection test beside the form. The fields of the connection come from
// the driver's own table.
import { Button, Group, Select, SimpleGrid, Textarea, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useForm } from 'react-hook-form';
import { useTranslation } from 'react-i18next';
import { createDevice, replaceDevice, testDeviceSettings } from '../../api/gen/client';
import type { Device, Driver } from '../../api/gen/model';
import { isStatus } from '../../api/problem';
import { deviceQuery, driversQuery } from '../../api/queries';
import { parseDuration } from '../../app/format';
import { notifyDone } from '../../app/notify';
import { Page } from '../../app/Page';
import { SwitchField } from '../../components/FormFields';
import { ProblemPanel } from '../../components/ProblemPanel';
import { markFields } from '../../components/useServerErrors';
import { bodyOf, connectionFields, type DeviceFields, emptyDevice, fieldOfPointer, fieldsOf } from './deviceFields';
import classes from './DeviceFormPage.module.css';
import { driverOf, shownSettings } from './driverSettings';
import { DriverFields } from './DriverFields';
import { TestPanel } from './TestPanel';

const editRoute = getRouteApi('/shell/devices/$deviceId/edit');

export function NewDevicePage() {
  const { t } = useTranslation();
  const drivers = useQuery(driversQuery);
  return (
    <Page title={t('device.add')} scroll>
      {drivers.error && <ProblemPanel error={drivers.error} onRetry={() => void drivers.refetch()} />}
      {drivers.data && <DeviceForm drivers={drivers.data} />}
    </Page>
  );
}

export function EditDevicePage() {
  const { t } = useTranslation();
  const { deviceId } = editRoute.useParams();
  const drivers = useQuery(driversQuery);
  const device = useQuery({ ...deviceQuery(deviceId), staleTime: 0, refetchOnWindowFocus: false });
  const [round, setRound] = useState(0);
  const reload = async () => {
    await device.refetch();
    setRound(round + 1);
  };
  return (
    <Page title={t('device.edit_title', { id: deviceId })} scroll>
      {device.error && <ProblemPanel error={device.error} onRetry={() => void device.refetch()} />}
      {drivers.error && <ProblemPanel error={drivers.error} onRetry={() => void drivers.refetch()} />}
      {device.data && drivers.data && (
        <DeviceForm key={round} drivers={drivers.data} stored={device.data} onReload={() => void reload()} />
      )}
    </Page>
  );
}

interface FormProps {
  drivers: readonly Driver[];
  stored?: Device;
  onReload?: () => void;
}

function DeviceForm({ drivers, stored, onReload }: FormProps) {
  // The version that was on the screen when editing began: a newer one must not slip under what is typed.
  const [device] = useState(stored);
  const { t } = useTranslation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [areFieldsMarked, setFieldsMarked] = useState(false);
  const form = useForm<DeviceFields>({
    defaultValues: device ? fieldsOf(device, drivers) : emptyDevice(drivers),
    mode: 'onTouched',
  });
  const protocol = form.watch('protocol');
  const driver = driverOf(drivers, protocol);
  const chooseProtocol = (name: string) => {
    form.setValue('connection', connectionFields(drivers, name));
    form.clearErrors('connection');
    form.setValue('protocol', name, { shouldDirty: true });
  };
  const { errors } = form.formState;
  const save = useMutation({
    mutationFn: (fields: DeviceFields) => {
      const body = bodyOf(fields, drivers, device);
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
    return testDeviceSettings(bodyOf(form.getValues(), drivers, device));
  };
  const duration = (text: string) => text === '' || parseDuration(text) !== null || t('form.duration');
  const required = t('form.required');
  const field = (name: 'id' | 'name' | 'description' | 'uns_prefix' | 'poll_interval') => ({
    label: t(`device.${name}`),
    error: errors[name]?.message,
  });
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
              description={driver?.summary ?? t('device.protocol_help')}
              data={protocolChoices(drivers, protocol, (name) => t(`protocol.${name}`, { defaultValue: name }))}
              value={protocol}
              onChange={(name) => name !== null && chooseProtocol(name)}
              allowDeselect={false}
              readOnly={device !== undefined}
              variant={device ? 'filled' : 'default'}
            />
            <TextInput
              {...field('poll_interval')}
              description={t('device.poll_interval_help')}
              {...form.register('poll_interval', { validate: duration })}
            />
          </SimpleGrid>
          <DriverFields
            key={protocol}
            form={form}
            prefix="connection"
            settings={shownSettings(driver?.settings ?? [], device?.connection ?? {})}
          />
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

/** A stored device may have a protocol that this installation does not know. */
function protocolChoices(drivers: readonly Driver[], protocol: string, labelOf: (name: string) => string) {
  const names = drivers.map((d) => d.name);
  const all = names.includes(protocol) ? names : [...names, protocol];
  return all.map((value) => ({ value, label: labelOf(value) }));
}
