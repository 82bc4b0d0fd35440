import { Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useRouter } from '@tanstack/react-router';
import { useForm } from 'react-hook-form';
import { useTranslation } from 'react-i18next';
import { logIn } from '../../api/gen/client';
import type { LoginRequest } from '../../api/gen/model';
import { enter } from '../../app/session';
import { ProblemPanel } from '../../components/ProblemPanel';
import { AuthFrame } from './AuthFrame';

const route = getRouteApi('/login');

/** Only a path of this site: an address from outside must not lead anywhere else. */
const localPath = (from: string | undefined): string => (from && /^\/(?![/\\])/.test(from) ? from : '/');

export function LoginPage() {
  const { t } = useTranslation();
  const { version } = route.useLoaderData();
  const { from } = route.useSearch();
  const router = useRouter();
  const client = useQueryClient();
  const form = useForm<LoginRequest>({ defaultValues: { username: '', password: '' } });
  const login = useMutation({
    mutationFn: async (body: LoginRequest) => enter(client, await logIn(body)),
    onSuccess: () => router.history.push(localPath(from)),
  });
  const required = { required: t('form.required') };
  const { errors } = form.formState;
  return (
    <AuthFrame title={t('auth.log_in')} text={t('auth.log_in_text')} version={version}>
      <form onSubmit={(e) => void form.handleSubmit((body) => login.mutate(body))(e)} noValidate>
        <Stack gap="sm">
          <TextInput
            label={t('auth.username')}
            autoComplete="username"
            data-autofocus
            {...form.register('username', required)}
            error={errors.username?.message}
          />
          <PasswordInput
            label={t('auth.password')}
            autoComplete="current-password"
            visibilityToggleButtonProps={{ 'aria-label': t('auth.show_password') }}
            {...form.register('password', required)}
            error={errors.password?.message}
          />
          {login.error && <ProblemPanel error={login.error} />}
          <Button type="submit" loading={login.isPending}>
            {t('auth.log_in')}
          </Button>
        </Stack>
      </form>
    </AuthFrame>
  );
}
