// A page that could not be shown: an unknown address, or an error nobody nearer has handled.
import { Button } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import { useRouter } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { EmptyState } from '../components/EmptyState';
import { ProblemPanel } from '../components/ProblemPanel';
import classes from './Page.module.css';

export function FaultPage({ error }: { error: unknown }) {
  const router = useRouter();
  return (
    <main className={classes['centre']}>
      <ProblemPanel error={error} onRetry={() => void router.invalidate()} />
    </main>
  );
}

export function NotFoundPage() {
  const { t } = useTranslation();
  return (
    <main>
      <EmptyState
        order={1}
        icon={<IconMapQuestion />}
        title={t('not_found.title')}
        text={t('not_found.text')}
        action={
          <Button component="a" href="/">
            {t('not_found.action')}
          </Button>
        }
      />
    </main>
  );
}
