// Is the installation sound: the books of delivery, ingestion, and what it could not use.
import { IconLock } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import { Page } from '../../app/Page';
import { usePermission } from '../../app/session';
import { EmptyState } from '../../components/EmptyState';
import { DeadLettersSection } from './DeadLettersSection';
import { IngestSection } from './IngestSection';
import { LedgerSection } from './LedgerSection';

export function SystemPage() {
  const { t } = useTranslation();
  const maySee = usePermission('system.read');
  return (
    <Page title={t('nav.system')} scroll>
      {maySee ? (
        <>
          <LedgerSection />
          <IngestSection />
          <DeadLettersSection />
        </>
      ) : (
        <EmptyState icon={<IconLock />} title={t('system.denied')} text={t('system.denied_text')} />
      )}
    </Page>
  );
}
