import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { tagsQuery } from '../../api/queries';
import { Page } from '../../app/Page';
import { ProblemPanel } from '../../components/ProblemPanel';
import { TagTable } from './TagTable';

const route = getRouteApi('/shell/tags');

export function TagsPage() {
  const { t } = useTranslation();
  const { q = '', tag } = route.useSearch();
  const navigate = useNavigate();
  const tags = useQuery(tagsQuery());
  return (
    <Page title={t('nav.tags')}>
      {tags.error && <ProblemPanel error={tags.error} onRetry={() => void tags.refetch()} />}
      {tags.data && (
        <TagTable
          tags={tags.data.items}
          isCut={tags.data.isCut}
          q={q}
          selected={tag}
          showDevice
          emptyAction={
            <Button component={Link} to="/devices">
              {t('tag.to_devices')}
            </Button>
          }
          onSearch={(search) => void navigate({ to: '/tags', search, replace: true })}
        />
      )}
    </Page>
  );
}
