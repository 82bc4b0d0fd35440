// First start: the one-time code proves that whoever makes the first administrator can read the machine's log or disk.
import { Button, Code, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useRouter } from '@tanstack/react-router';
import { useForm } from 'react-hook-form';
import { Trans, useTranslation } from 'react-i18next';
import { setUp } from '../../api/gen/client';
import { fieldErrors, ProblemError } from '../../api/problem';
import { enter } from '../../app/session';
import { ProblemPanel } from '../../components/ProblemPanel';
import { AuthFrame } from './AuthFrame';

const route = getRouteApi('/setup');

interface Fields {
  code: string;
  username: string;
  password: string;
  repeat: string;
}

export function SetupPage() {
  const { t } = useTranslation();
  const state = route.useLoaderData();
  const router = useRouter();
  const client = useQueryClient();
  const form = useForm<Fields>({ defaultValues: { code: '', username: 'admin', password: '', repeat: '' } });
  const setup = useMutation({
    mutationFn: async ({ code, username, password }: Fields) =>
      enter(client, await setUp({ code: code.trim(), username: username.trim(), password })),
    onSuccess: () => router.history.push('/'),
    onError: (error) => {
      if (!(error instanceof ProblemError)) return;
      for (const [name, e] of Object.entries(fieldErrors(error.problem)))
        if (name in form.getValues()) form.setError(name as keyof Fields, { message: e.detail });
    },
  });
  const { errors } = form.formState;
  const required = t('form.required');
  const minLength = state.password_min_length ?? 10;
  return (
    <AuthFrame
      title={t('auth.set_up')}
      version={state.version}
      text={
        <Trans
          i18nKey="auth.set_up_text"
          values={{ file: state.setup_code_file ?? 'setup-code' }}
          components={[<Code key="file" />]}
        />
      }
    >
      <form onSubmit={(e) => void form.handleSubmit((fields) => setup.mutate(fields))(e)} noValidate>
        <Stack gap="sm">
          <TextInput
            label={t('auth.code')}
            autoComplete="off"
            spellCheck={false}
            classNames={{ input: 'nx-mono' }}
            {...form.register('code', { required })}
            error={errors.code?.message}
          />
          <TextInput
            label={t('auth.admin_name')}
            autoComplete="username"
            {...form.register('username', {
              required,
              pattern: { value: /^[A-Za-z0-9][A-Za-z0-9._@-]*$/, message: t('auth.username_rule') },
            })}
            error={errors.username?.message}
          />
          <PasswordInput
            label={t('auth.new_password')}
            description={t('auth.password_rule', { count: minLength })}
            autoComplete="new-password"
            visibilityToggleButtonProps={{ 'aria-label': t('auth.show_password') }}
            {...form.register('password', {
              required,
              minLength: { value: minLength, message: t('auth.password_rule', { count: minLength }) },
            })}
            error={errors.password?.message}
          />
          <PasswordInput
            label={t('auth.repeat_password')}
            autoComplete="new-password"
            visibilityToggleButtonProps={{ 'aria-label': t('auth.show_password') }}
            {...form.register('repeat', {
              validate: (repeat, fields) => repeat === fields.password || t('auth.repeat_differs'),
            })}
            error={errors.repeat?.message}
          />
          {setup.error && <ProblemPanel error={setup.error} />}
          <Button type="submit" loading={setup.isPending}>
            {t('auth.set_up_action')}
          </Button>
        </Stack>
      </form>
    </AuthFrame>
  );
}
