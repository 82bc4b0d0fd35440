import { describe, expect, it } from 'vitest';
import type { DriverSetting } from '../../api/gen/model';
import { groupSettings, settingsOfValues, shownSettings, valuesOf, wordsOf } from './driverSettings';

const setting = (key: string, more: Partial<DriverSetting> = {}): DriverSetting => ({
  key,
  type: 'string',
  required: false,
  per_device: false,
  help: '',
  ...more,
});
const table: DriverSetting[] = [
  setting('host', { required: true }),
  setting('port', { type: 'integer', default: '102', min: 1, max: 65535 }),
  setting('rack', { type: 'integer', default: '0' }),
  setting('parity', { type: 'choice', default: 'even', choices: ['none', 'even', 'odd'] }),
  setting('optimize', { type: 'boolean', default: 'true' }),
  setting('timeout', { type: 'duration', default: '3s' }),
  setting('tsap', { required: true }),
];

describe('fields of a driver', () => {
  it('store only what somebody has entered', () => {
    const fresh = valuesOf(table, {});
    expect(fresh).toEqual({ host: '', port: '', rack: '', parity: 'even', optimize: true, timeout: '', tsap: '' });
    expect(settingsOfValues(table, fresh)).toEqual({});
    expect(
      settingsOfValues(table, { ...fresh, host: ' plc ', port: '1102', rack: 0, parity: 'odd', optimize: false }),
    ).toEqual({ host: 'plc', port: 1102, rack: 0, parity: 'odd', optimize: false });
  });

  it('give back what they were given', () => {
    const stored = { host: 'plc', port: 1102, rack: 0, parity: 'even', optimize: true, timeout: '2s', other: 7 };
    expect(settingsOfValues(table, valuesOf(table, stored), stored)).toEqual(stored);
  });

  it('remove what was emptied', () => {
    const stored = { host: 'plc', port: 1102 };
    expect(settingsOfValues(table, { ...valuesOf(table, stored), port: '' }, stored)).toEqual({ host: 'plc' });
  });

  it('show one of two names for the same thing', () => {
    const both = [setting('unit_id'), setting('slave_id')];
    const keys = (stored: Record<string, unknown>) => shownSettings(both, stored).map((s) => s.key);
    expect(keys({})).toEqual(['unit_id']);
    expect(keys({ slave_id: 3 })).toEqual(['slave_id']);
    expect(keys({ unit_id: 1, slave_id: 3 })).toEqual(['unit_id', 'slave_id']);
    expect(shownSettings([setting('slave_id')], {})).toHaveLength(1);
  });

  it('put the usual ones first and never hide a needed one', () => {
    const { first, further } = groupSettings(table);
    expect(first.map((s) => s.key)).toEqual(['host', 'port', 'rack', 'parity', 'timeout', 'tsap']);
    expect(further.map((s) => s.key)).toEqual(['optimize']);
  });

  it('have a name even where no language file knows them', () =>
    expect(wordsOf('max_registers')).toBe('Max registers'));
});
