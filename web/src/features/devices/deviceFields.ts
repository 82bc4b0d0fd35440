// The fields of the device form and the way to and from the API's device. Pure.
import type { Connection, Device, DeviceCreate, Driver } from '../../api/gen/model';
import { driverOf, settingsOfValues, type SettingValues, valuesOf } from './driverSettings';

export interface DeviceFields {
  id: string;
  name: string;
  description: string;
  enabled: boolean;
  uns_prefix: string;
  poll_interval: string;
  protocol: string;
  connection: SettingValues;
}

export const connectionFields = (
  drivers: readonly Driver[],
  protocol: string,
  stored: Connection = {},
): SettingValues => valuesOf(driverOf(drivers, protocol)?.settings ?? [], stored);

export function emptyDevice(drivers: readonly Driver[]): DeviceFields {
  const protocol = drivers[0]?.name ?? '';
  return {
    id: '',
    name: '',
    description: '',
    enabled: true,
    uns_prefix: '',
    poll_interval: '1s',
    protocol,
    connection: connectionFields(drivers, protocol),
  };
}

export function fieldsOf(device: Device, drivers: readonly Driver[]): DeviceFields {
  return {
    id: device.id,
    name: device.name ?? '',
    description: device.description ?? '',
    enabled: device.enabled,
    uns_prefix: device.uns_prefix ?? '',
    poll_interval: device.poll_interval ?? '',
    protocol: device.protocol,
    connection: connectionFields(drivers, device.protocol, device.connection),
  };
}

const given = (text: string): string | undefined => (text.trim() === '' ? undefined : text.trim());

/** Settings that the form does not show stay as they are in `kept`. */
export function bodyOf(fields: DeviceFields, drivers: readonly Driver[], kept?: Device): DeviceCreate {
  const settings = driverOf(drivers, fields.protocol)?.settings ?? [];
  return {
    id: fields.id.trim(),
    name: given(fields.name),
    description: given(fields.description),
    protocol: fields.protocol,
    enabled: fields.enabled,
    uns_prefix: given(fields.uns_prefix),
    poll_interval: given(fields.poll_interval),
    subscription_mode: kept?.subscription_mode,
    connection: settingsOfValues(settings, fields.connection, kept?.connection) as Connection,
  };
}

/** A stored device as it is created, for a test of one of its tags. */
export function settingsOfDevice(device: Device): DeviceCreate {
  const { id, name, description, protocol, enabled, uns_prefix, poll_interval, subscription_mode, connection } = device;
  return { id, name, description, protocol, enabled, uns_prefix, poll_interval, subscription_mode, connection };
}

/** The name of the form field that a pointer of the API means. */
export const fieldOfPointer = (pointer: string): string => pointer.replace(/^\//, '').replaceAll('/', '.');
