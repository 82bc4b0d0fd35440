// The fields of the device form and the way to and from the API's device. Pure.
import type { Connection, Device, DeviceCreate } from '../../api/gen/model';

export interface DeviceFields {
  id: string;
  name: string;
  description: string;
  enabled: boolean;
  uns_prefix: string;
  poll_interval: string;
  host: string;
  port: number | string;
  slave_id: number | string;
  timeout: string;
}

export const emptyDevice: DeviceFields = {
  id: '',
  name: '',
  description: '',
  enabled: true,
  uns_prefix: '',
  poll_interval: '1s',
  host: '',
  port: 502,
  slave_id: 1,
  timeout: '3s',
};

export function fieldsOf(device: Device): DeviceFields {
  const c = device.connection;
  return {
    id: device.id,
    name: device.name ?? '',
    description: device.description ?? '',
    enabled: device.enabled,
    uns_prefix: device.uns_prefix ?? '',
    poll_interval: device.poll_interval ?? '',
    host: String(c.host ?? ''),
    port: c.port ?? 502,
    slave_id: c.slave_id ?? 1,
    timeout: String(c.timeout ?? ''),
  };
}

const given = (text: string): string | undefined => (text.trim() === '' ? undefined : text.trim());

/** Settings that the form does not show stay as they are in `kept`. */
export function bodyOf(fields: DeviceFields, kept?: Device): DeviceCreate {
  const connection: Connection = {
    ...kept?.connection,
    host: fields.host.trim(),
    port: Number(fields.port),
    slave_id: Number(fields.slave_id),
  };
  const timeout = given(fields.timeout);
  if (timeout) connection.timeout = timeout;
  else delete connection.timeout;
  return {
    id: fields.id.trim(),
    name: given(fields.name),
    description: given(fields.description),
    protocol: kept?.protocol ?? 'modbus-tcp',
    enabled: fields.enabled,
    uns_prefix: given(fields.uns_prefix),
    poll_interval: given(fields.poll_interval),
    subscription_mode: kept?.subscription_mode,
    connection,
  };
}

/** The name of the form field that a pointer of the API means. */
export const fieldOfPointer = (pointer: string): string => pointer.replace(/^\/(connection\/)?/, '');
