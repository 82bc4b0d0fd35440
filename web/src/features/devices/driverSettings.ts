// Form fields made of a driver's table of settings (GET /api/v1/drivers), and the way to and from stored settings. Pure.
import type { Driver, DriverSetting } from '../../api/gen/model';

export type SettingValue = string | number | boolean;
export type SettingValues = Record<string, SettingValue>;

/** Older names, that are only shown where they are used. */
const NEWER_NAME: Record<string, string> = { slave_id: 'unit_id' };
/** So many settings of a driver come before "further settings": drivers list the usual ones first. */
const FIRST = 4;
const ALWAYS_FIRST = ['timeout', 'unit_id', 'slave_id'];

export const driverOf = (drivers: readonly Driver[], protocol: string): Driver | undefined =>
  drivers.find((d) => d.name === protocol);

function emptyValue(s: DriverSetting): SettingValue {
  if (s.type === 'boolean') return s.default === 'true';
  return s.type === 'choice' ? (s.default ?? '') : '';
}

/** One field per setting; what is not stored is empty, or the default where a field cannot be empty. */
export function valuesOf(settings: readonly DriverSetting[], stored: Readonly<Record<string, unknown>>): SettingValues {
  return Object.fromEntries(
    settings.map((s) => {
      const value = stored[s.key];
      const isGiven = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
      return [s.key, isGiven ? value : emptyValue(s)];
    }),
  );
}

function settingOf(s: DriverSetting, value: SettingValue | undefined): SettingValue | undefined {
  if (value === undefined || value === '') return undefined;
  if (s.type === 'integer' || s.type === 'number') return Number(value);
  if (s.type === 'boolean') return Boolean(value);
  const text = String(value).trim();
  return text === '' ? undefined : text;
}

/** Settings that the table does not know stay as they are in `kept`; a default that nobody has chosen is not stored. */
export function settingsOfValues(
  settings: readonly DriverSetting[],
  values: Readonly<SettingValues>,
  kept: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const out: Record<string, unknown> = { ...kept };
  for (const s of settings) {
    const value = settingOf(s, values[s.key]);
    const isDefault = (s.type === 'boolean' || s.type === 'choice') && String(value) === s.default;
    if (value === undefined || (isDefault && kept[s.key] === undefined)) delete out[s.key];
    else out[s.key] = value;
  }
  return out;
}

/** Without the older of two names for one thing: the one that is stored is shown, the newer one when none is. */
export function shownSettings(
  settings: readonly DriverSetting[],
  stored: Readonly<Record<string, unknown>>,
): DriverSetting[] {
  const keys = new Set(settings.map((s) => s.key));
  const isHidden = ({ key }: DriverSetting) => {
    const newer = NEWER_NAME[key];
    if (newer !== undefined && keys.has(newer)) return stored[key] === undefined;
    const older = Object.keys(NEWER_NAME).find((k) => NEWER_NAME[k] === key);
    return older !== undefined && keys.has(older) && stored[older] !== undefined && stored[key] === undefined;
  };
  return settings.filter((s) => !isHidden(s));
}

export interface SettingGroups {
  first: DriverSetting[];
  further: DriverSetting[];
}

const isFirst = (s: DriverSetting, i: number) =>
  i < FIRST || s.required || s.per_device || ALWAYS_FIRST.includes(s.key);

export function groupSettings(settings: readonly DriverSetting[]): SettingGroups {
  return { first: settings.filter(isFirst), further: settings.filter((s, i) => !isFirst(s, i)) };
}

/** `max_registers` as "Max registers". */
export function wordsOf(key: string): string {
  const words = key.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
