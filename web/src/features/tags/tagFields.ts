// The fields of the tag form and the way to and from the API's tag. Pure.
import type { DataType, Driver, DriverSetting, Tag, TagSettings } from '../../api/gen/model';
import { settingsOfValues, type SettingValues, valuesOf } from '../devices/driverSettings';

export const DATA_TYPES: DataType[] = [
  'bool',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'float32',
  'float64',
  'string',
];
export const BYTE_ORDERS = ['ABCD', 'CDAB', 'BADC', 'DCBA'];
export const REGISTER_TYPES = ['holding_register', 'input_register', 'coil', 'discrete_input'] as const;
export type RegisterType = (typeof REGISTER_TYPES)[number];

export const DEADBAND_TYPES = ['none', 'absolute', 'percent', 'percent_of_range'] as const;
export type DeadbandType = (typeof DEADBAND_TYPES)[number];

type Num = number | string;

export interface TagFields {
  id: string;
  name: string;
  register_type: RegisterType;
  address: string;
  data_type: DataType;
  byte_order: string;
  register_count: Num;
  unit: string;
  scale_factor: Num;
  offset: Num;
  clamp_min: Num;
  clamp_max: Num;
  deadband_type: DeadbandType;
  deadband: Num;
  poll_interval: string;
  access_mode: 'read' | 'readwrite' | 'write';
  enabled: boolean;
  /** Settings of the driver that have no field of their own above. */
  driver: SettingValues;
}

/** Modbus: an address is a number in one of four tables. */
export const hasRegisters = (driver: Driver | undefined): boolean =>
  driver?.tag_settings.some((s) => s.key === 'register_type') ?? true;

const OWN_FIELDS = ['register_type', 'register_count', 'byte_order'];

/** What the driver's table has for tags, without what this form shows in its own way. */
export const furtherSettings = (driver: Driver | undefined): DriverSetting[] =>
  (driver?.tag_settings ?? []).filter((s) => !hasRegisters(driver) || !OWN_FIELDS.includes(s.key));

export const emptyTag: TagFields = {
  id: '',
  name: '',
  register_type: 'holding_register',
  address: '',
  data_type: 'uint16',
  byte_order: 'ABCD',
  register_count: '',
  unit: '',
  scale_factor: '',
  offset: '',
  clamp_min: '',
  clamp_max: '',
  deadband_type: 'none',
  deadband: '',
  poll_interval: '',
  access_mode: 'read',
  enabled: true,
  driver: {},
};

export const newTag = (driver: Driver | undefined): TagFields => ({
  ...emptyTag,
  driver: valuesOf(furtherSettings(driver), {}),
});

const PREFIXES: Record<string, RegisterType> = {
  holding: 'holding_register',
  hr: 'holding_register',
  input: 'input_register',
  ir: 'input_register',
  coil: 'coil',
  c: 'coil',
  discrete: 'discrete_input',
  di: 'discrete_input',
};
const MODICON: Record<string, RegisterType> = {
  '0': 'coil',
  '1': 'discrete_input',
  '3': 'input_register',
  '4': 'holding_register',
};

/** The table that an address names by itself (`holding:100`, `hr100`, 40001); undefined when it does not. */
export function tableOfAddress(address: string): RegisterType | undefined {
  const text = address.trim().toLowerCase();
  const named = /^([a-z]+):?(?:0x)?[0-9a-f]+/.exec(text);
  if (named) return PREFIXES[named[1] ?? ''];
  const modicon = /^([0134])\d{4,5}(?:\.\d+)?$/.exec(text);
  return modicon ? MODICON[modicon[1] ?? ''] : undefined;
}

export function fieldsOfTag(tag: Tag, driver?: Driver): TagFields {
  return {
    ...emptyTag,
    id: tag.id,
    name: tag.name ?? '',
    register_type: tag.register_type ?? tableOfAddress(tag.address ?? '') ?? 'holding_register',
    address: tag.address ?? '',
    data_type: tag.data_type ?? 'uint16',
    byte_order: tag.byte_order ?? 'ABCD',
    register_count: tag.register_count ?? '',
    unit: tag.unit ?? '',
    scale_factor: tag.scale_factor ?? '',
    offset: tag.offset ?? '',
    clamp_min: tag.clamp_min ?? '',
    clamp_max: tag.clamp_max ?? '',
    deadband_type: tag.deadband_type ?? 'none',
    deadband: tag.deadband ?? '',
    poll_interval: tag.poll_interval ?? '',
    access_mode: tag.access_mode ?? 'read',
    enabled: tag.enabled,
    driver: valuesOf(furtherSettings(driver), { ...tag }),
  };
}

/** Members of the API's tag that are not settings. */
const notSettings = ['device_id', 'topic', 'version', 'etag', 'value', 'quality', 'timestamp'] as const;

export const isBit = (type: RegisterType): boolean => type === 'coil' || type === 'discrete_input';
export const isReadOnly = (type: RegisterType): boolean => type === 'input_register' || type === 'discrete_input';
export const hasByteOrder = (type: DataType): boolean => !['bool', 'int8', 'uint8'].includes(type);

const text = (s: string): string | undefined => (s.trim() === '' ? undefined : s.trim());
const number = (n: Num): number | undefined => (n === '' ? undefined : Number(n));

/** Settings that the form does not show stay as they are in `kept`. */
export function settingsOf(fields: TagFields, kept?: Tag, driver?: Driver): TagSettings {
  const rest = settingsOfValues(furtherSettings(driver), fields.driver, { ...kept }) as Partial<Tag>;
  for (const key of notSettings) delete rest[key];
  return hasRegisters(driver) ? registerSettings(fields, rest, kept) : plainSettings(fields, rest);
}

/** Any other protocol: the address says it all. */
function plainSettings(fields: TagFields, rest: Partial<Tag>): TagSettings {
  return { ...rest, ...commonSettings(fields, fields.data_type), access_mode: fields.access_mode };
}

function commonSettings(fields: TagFields, type: DataType): TagSettings {
  const isNumber = type !== 'string' && type !== 'bool';
  return {
    id: fields.id.trim(),
    name: text(fields.name),
    address: fields.address.trim(),
    data_type: type,
    unit: text(fields.unit),
    scale_factor: isNumber ? number(fields.scale_factor) : undefined,
    offset: isNumber ? number(fields.offset) : undefined,
    clamp_min: isNumber ? number(fields.clamp_min) : undefined,
    clamp_max: isNumber ? number(fields.clamp_max) : undefined,
    deadband_type: isNumber && fields.deadband_type !== 'none' ? fields.deadband_type : undefined,
    deadband: isNumber && fields.deadband_type !== 'none' ? number(fields.deadband) : undefined,
    poll_interval: text(fields.poll_interval),
    enabled: fields.enabled,
  };
}

function registerSettings(fields: TagFields, rest: Partial<Tag>, kept?: Tag): TagSettings {
  const isInAddress =
    kept !== undefined && kept.register_type === undefined && tableOfAddress(fields.address) !== undefined;
  const bit = isBit(fields.register_type);
  return {
    ...rest,
    ...commonSettings(fields, bit ? 'bool' : fields.data_type),
    register_type: isInAddress ? undefined : fields.register_type,
    byte_order: !bit && hasByteOrder(fields.data_type) && fields.byte_order !== 'ABCD' ? fields.byte_order : undefined,
    register_count: fields.data_type === 'string' && !bit ? number(fields.register_count) : undefined,
    access_mode: isReadOnly(fields.register_type) ? 'read' : fields.access_mode,
  };
}

/** The name of the form field that a pointer of the API means. */
export function fieldOfTagPointer(pointer: string, driver?: Driver): string {
  const key = pointer.replace(/^\//, '');
  return furtherSettings(driver).some((s) => s.key === key) ? `driver.${key}` : key;
}

/** Why a value cannot be written to this tag, as a key of the language files; null when it can. */
export function writeFault(tag: Tag, value: number): { key: string; limit?: number } | null {
  if (!Number.isFinite(value)) return { key: 'write.not_a_number' };
  if (tag.clamp_min !== undefined && value < tag.clamp_min) return { key: 'write.below', limit: tag.clamp_min };
  if (tag.clamp_max !== undefined && value > tag.clamp_max) return { key: 'write.above', limit: tag.clamp_max };
  return null;
}

export const isWritable = (tag: Tag): boolean => tag.access_mode === 'write' || tag.access_mode === 'readwrite';
