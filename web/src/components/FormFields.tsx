// Form fields that react-hook-form cannot register directly.
import { type ComboboxData, NumberInput, Select, Switch } from '@mantine/core';
import { Controller, type FieldValues, type Path, type UseFormReturn } from 'react-hook-form';
import { useTranslation } from 'react-i18next';

interface Common<F extends FieldValues> {
  form: UseFormReturn<F>;
  name: Path<F>;
  label: string;
  description?: string;
}

interface NumberProps<F extends FieldValues> extends Common<F> {
  min?: number;
  max?: number;
  integer?: boolean;
  required?: boolean;
  placeholder?: string;
}

export function NumberField<F extends FieldValues>(props: NumberProps<F>) {
  const { form, name, min = -Infinity, max = Infinity, integer = false, required = false, ...rest } = props;
  const { t } = useTranslation();
  const check = (v: unknown): true | string => {
    if (v === '' || v === undefined) return !required || t('form.required');
    const n = Number(v);
    if (!Number.isFinite(n) || (integer && !Number.isInteger(n)) || n < min || n > max)
      return Number.isFinite(min) && Number.isFinite(max) ? t('form.integer', { min, max }) : t('form.number');
    return true;
  };
  return (
    <Controller
      control={form.control}
      name={name}
      rules={{ validate: check }}
      render={({ field, fieldState }) => (
        <NumberInput {...field} {...rest} error={fieldState.error?.message} hideControls allowDecimal={!integer} />
      )}
    />
  );
}

export function ChoiceField<F extends FieldValues>({ form, name, ...rest }: Common<F> & { data: ComboboxData }) {
  return (
    <Controller
      control={form.control}
      name={name}
      render={({ field, fieldState }) => (
        <Select
          {...rest}
          {...field}
          error={fieldState.error?.message}
          allowDeselect={false}
          comboboxProps={{ withinPortal: true }}
        />
      )}
    />
  );
}

export function SwitchField<F extends FieldValues>({ form, name, label, description }: Common<F>) {
  return (
    <Controller
      control={form.control}
      name={name}
      render={({ field: { value, ...field } }) => (
        <Switch {...field} label={label} description={description} checked={Boolean(value)} />
      )}
    />
  );
}
