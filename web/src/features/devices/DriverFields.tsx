// The fields of a driver's table of settings: the usual ones, then the further ones behind a fold.
import { SimpleGrid, TextInput } from '@mantine/core';
import type { FieldValues, Path, UseFormReturn } from 'react-hook-form';
import { useTranslation } from 'react-i18next';
import type { DriverSetting } from '../../api/gen/model';
import { formatMs, parseDuration } from '../../app/format';
import { ChoiceField, NumberField, SwitchField } from '../../components/FormFields';
import classes from './DeviceFormPage.module.css';
import { groupSettings, wordsOf } from './driverSettings';

interface Props<F extends FieldValues> {
  form: UseFormReturn<F>;
  /** The member of the form that holds the settings. */
  prefix: string;
  settings: readonly DriverSetting[];
}

export function DriverFields<F extends FieldValues>({ form, prefix, settings }: Props<F>) {
  const { t } = useTranslation();
  const { first, further } = groupSettings(settings);
  const field = (s: DriverSetting) => (
    <SettingField key={s.key} form={form} name={`${prefix}.${s.key}` as Path<F>} setting={s} />
  );
  return (
    <>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
        {first.map(field)}
      </SimpleGrid>
      {further.length > 0 && (
        <details className={classes['further']}>
          <summary>{t('device.further_settings', { count: further.length })}</summary>
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm" mt="sm">
            {further.map(field)}
          </SimpleGrid>
        </details>
      )}
    </>
  );
}

function useTexts({ key, help, unit, default: given }: DriverSetting) {
  const { t, i18n } = useTranslation();
  const label = t(`setting.${key}`, { defaultValue: wordsOf(key) });
  const isOurs = i18n.exists(`setting_help.${key}`);
  return {
    label: unit ? `${label} (${unit})` : label,
    description: isOurs ? t(`setting_help.${key}`) : help,
    placeholder: given,
  };
}

interface FieldProps<F extends FieldValues> {
  form: UseFormReturn<F>;
  name: Path<F>;
  setting: DriverSetting;
}

function SettingField<F extends FieldValues>({ form, name, setting }: FieldProps<F>) {
  const { placeholder, ...texts } = useTexts(setting);
  const { type, min, max, required, choices = [] } = setting;
  switch (type) {
    case 'integer':
    case 'number':
      return (
        <NumberField
          form={form}
          name={name}
          {...texts}
          placeholder={placeholder}
          min={min}
          max={max}
          integer={type === 'integer'}
          required={required}
        />
      );
    case 'boolean':
      return <SwitchField form={form} name={name} label={texts.label} description={texts.description} />;
    case 'choice':
      return <ChoiceField form={form} name={name} {...texts} data={choices} />;
    default:
      return <TextField form={form} name={name} setting={setting} />;
  }
}

function TextField<F extends FieldValues>({ form, name, setting }: FieldProps<F>) {
  const { t } = useTranslation();
  const texts = useTexts(setting);
  const { min, max, required, type } = setting;
  const check = (value: unknown): true | string => {
    const text = String(value ?? '').trim();
    if (text === '') return !required || t('form.required');
    if (type !== 'duration') return true;
    const ms = parseDuration(text);
    if (ms === null) return t('form.duration');
    const isIn = (min === undefined || ms >= min) && (max === undefined || ms <= max);
    return isIn || t('form.duration_range', { min: formatMs(min), max: formatMs(max) });
  };
  return (
    <TextInput
      {...texts}
      classNames={type === 'string' ? { input: 'nx-mono' } : {}}
      error={form.getFieldState(name, form.formState).error?.message}
      {...form.register(name, { validate: check })}
    />
  );
}
