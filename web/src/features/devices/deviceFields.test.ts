import { describe, expect, it } from 'vitest';
import type { Device, Driver, DriverSetting } from '../../api/gen/model';
import { bodyOf, emptyDevice, fieldOfPointer, fieldsOf, settingsOfDevice } from './deviceFields';

const setting = (key: string, type: DriverSetting['type']): DriverSetting => ({
  key,
  type,
  required: key === 'host',
  per_device: false,
  help: '',
});
const drivers: Driver[] = [
  {
    name: 'modbus-tcp',
    summary: '',
    can_write: true,
    can_browse: false,
    settings: [setting('host', 'string'), setting('port', 'integer')],
    tag_settings: [],
  },
  {
    name: 's7',
    summary: '',
    can_write: true,
    can_browse: false,
    settings: [setting('host', 'string'), setting('rack', 'integer')],
    tag_settings: [],
  },
];
const stored: Device = {
  id: 'press',
  name: 'Press',
  protocol: 's7',
  enabled: true,
  poll_interval: '500ms',
  connection: { host: 'plc', rack: 0, own: 'kept' },
  version: 3,
  etag: '"3"',
  tag_count: 0,
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
  status: { state: 'online' },
};

describe('device form', () => {
  it('gives a device of any driver back as it was', () => {
    expect(bodyOf(fieldsOf(stored, drivers), drivers, stored)).toEqual({
      id: 'press',
      name: 'Press',
      protocol: 's7',
      enabled: true,
      poll_interval: '500ms',
      connection: { host: 'plc', rack: 0, own: 'kept' },
    });
  });

  it('keeps the connection of a driver that is not there', () => {
    const odd = { ...stored, protocol: 'profibus' };
    expect(bodyOf(fieldsOf(odd, drivers), drivers, odd).connection).toEqual(stored.connection);
  });

  it('begins with the first driver and its fields', () => {
    const empty = emptyDevice(drivers);
    expect(empty.protocol).toBe('modbus-tcp');
    expect(Object.keys(empty.connection)).toEqual(['host', 'port']);
    const body = bodyOf({ ...empty, id: ' d ', connection: { host: 'h', port: '1502' } }, drivers);
    expect(body).toMatchObject({ id: 'd', protocol: 'modbus-tcp', connection: { host: 'h', port: 1502 } });
  });

  it('tests a tag with the settings alone', () => expect(Object.keys(settingsOfDevice(stored))).not.toContain('etag'));

  it('knows the field of a pointer', () => {
    expect(fieldOfPointer('/connection/port')).toBe('connection.port');
    expect(fieldOfPointer('/id')).toBe('id');
  });
});
