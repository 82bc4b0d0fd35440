import { describe, expect, it } from 'vitest';
import type { Driver, Tag } from '../../api/gen/model';
import {
  emptyTag,
  fieldOfTagPointer,
  fieldsOfTag,
  furtherSettings,
  newTag,
  settingsOf,
  tableOfAddress,
  writeFault,
} from './tagFields';

const stored: Tag = {
  device_id: 'd',
  id: 'level',
  topic: 'uns/d/level',
  enabled: true,
  version: 3,
  etag: '"3"',
  value: 4,
  quality: 192,
  timestamp: null,
  register_type: 'holding_register',
  address: '40001',
  data_type: 'float32',
  byte_order: 'CDAB',
  unit: '%',
  scale_factor: 0.1,
  clamp_min: 0,
  clamp_max: 100,
  access_mode: 'readwrite',
  topic_suffix: 'tank/level',
  description: 'kept',
};

describe('tag form', () => {
  it('gives back what it was given, without what is no setting', () => {
    expect(settingsOf(fieldsOfTag(stored), stored)).toEqual({
      id: 'level',
      enabled: true,
      register_type: 'holding_register',
      address: '40001',
      data_type: 'float32',
      byte_order: 'CDAB',
      unit: '%',
      scale_factor: 0.1,
      clamp_min: 0,
      clamp_max: 100,
      access_mode: 'readwrite',
      topic_suffix: 'tank/level',
      description: 'kept',
    });
  });

  it('sends no number settings for a coil and no write access for an input', () => {
    const coil = settingsOf({
      ...emptyTag,
      id: 'c',
      address: '1',
      register_type: 'coil',
      scale_factor: 2,
      access_mode: 'readwrite',
    });
    expect(coil).toMatchObject({ data_type: 'bool', access_mode: 'readwrite' });
    expect(coil.scale_factor).toBeUndefined();
    const input = settingsOf({
      ...emptyTag,
      id: 'i',
      address: '1',
      register_type: 'input_register',
      access_mode: 'readwrite',
    });
    expect(input.access_mode).toBe('read');
  });

  it('refuses values beyond the limits before they are sent', () => {
    expect(writeFault(stored, 100)).toBeNull();
    expect(writeFault(stored, 100.1)).toEqual({ key: 'write.above', limit: 100 });
    expect(writeFault(stored, -1)).toEqual({ key: 'write.below', limit: 0 });
    expect(writeFault(stored, Number.NaN)).toEqual({ key: 'write.not_a_number' });
  });

  it.each([
    ['holding:100', 'holding_register'],
    ['hr0x10', 'holding_register'],
    ['input:7', 'input_register'],
    ['coil:0', 'coil'],
    ['di5', 'discrete_input'],
    ['40001', 'holding_register'],
    ['300010', 'input_register'],
    ['00001', 'coil'],
    ['100', undefined],
    ['', undefined],
  ])('knows the table of %s', (address, table) => expect(tableOfAddress(address)).toBe(table));

  it('takes the settings of another protocol from its table', () => {
    const length = { key: 'length', type: 'integer' as const, required: false, per_device: false, help: '' };
    const s7: Driver = {
      name: 's7',
      summary: '',
      can_write: true,
      can_browse: false,
      settings: [],
      tag_settings: [length],
    };
    expect(furtherSettings(s7)).toEqual([length]);
    const fields = { ...newTag(s7), id: 'a', address: 'DB1.DBD0', data_type: 'float32' as const };
    expect(settingsOf({ ...fields, driver: { length: '8' } }, undefined, s7)).toEqual({
      id: 'a',
      address: 'DB1.DBD0',
      data_type: 'float32',
      access_mode: 'read',
      enabled: true,
      length: 8,
    });
    expect(fieldOfTagPointer('/length', s7)).toBe('driver.length');
    expect(fieldOfTagPointer('/address', s7)).toBe('address');
  });

  it('leaves the table to the address where it was left to it', () => {
    const tag = { ...stored, register_type: undefined, address: 'input:7', access_mode: 'read' as const };
    expect(fieldsOfTag(tag).register_type).toBe('input_register');
    expect(settingsOf(fieldsOfTag(tag), tag).register_type).toBeUndefined();
  });
});
