// Trends: pens over a window that follows the present, or over a fixed range; drag to zoom, the address holds the view.
import { ActionIcon, Button, MultiSelect, SegmentedControl, Switch } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { IconChartLine, IconPlayerPlay, IconX, IconZoomOut } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { Tag } from '../../api/gen/model';
import { tagsQuery } from '../../api/queries';
import { formatDateTime, formatNumber, tagKey } from '../../app/format';
import { Page } from '../../app/Page';
import classes from '../../app/Page.module.css';
import { EmptyState } from '../../components/EmptyState';
import { LiveValue } from '../../components/LiveValue';
import { ProblemPanel } from '../../components/ProblemPanel';
import { MAX_PENS, pensOf, type TrendSearch, type Window, windowMs, WINDOWS } from './search';
import { penColor, TrendChart } from './TrendChart';
import { valueAt } from './trendData';
import own from './TrendsPage.module.css';
import { TrendTable } from './TrendTable';
import { type TrendData, useTrend } from './useTrend';

const route = getRouteApi('/shell/trends');

export function TrendsPage() {
  const { t } = useTranslation();
  const search = route.useSearch();
  const navigate = useNavigate();
  const pens = useMemo(() => pensOf(search), [search]);
  const tags = useQuery(tagsQuery());
  const byKey = useMemo(() => new Map((tags.data?.items ?? []).map((tag) => [tagKey(tag), tag])), [tags.data]);
  const go = (next: TrendSearch, replace = false) => void navigate({ to: '/trends', search: next, replace });
  return (
    <Page title={t('nav.trends')}>
      <div className={classes['toolbar']}>
        <MultiSelect
          className={own['picker']}
          aria-label={t('trend.pens')}
          placeholder={t('trend.add_pen')}
          data={[...byKey.values()]
            .filter((tag) => tag.data_type !== 'string')
            .map((tag) => ({ value: tagKey(tag), label: tagKey(tag) }))}
          value={pens.filter((p) => byKey.has(p))}
          onChange={(next) => go({ ...search, pens: next.join(',') || undefined }, true)}
          maxValues={MAX_PENS}
          limit={50}
          searchable
          hidePickedOptions
        />
      </div>
      {tags.error && <ProblemPanel error={tags.error} onRetry={() => void tags.refetch()} />}
      {pens.length === 0 ? (
        <EmptyState icon={<IconChartLine />} title={t('trend.empty_title')} text={t('trend.empty_text')} />
      ) : (
        <TrendView pens={pens} search={search} byKey={byKey} go={go} />
      )}
    </Page>
  );
}

interface ViewProps {
  pens: string[];
  search: TrendSearch;
  byKey: Map<string, Tag>;
  go: (next: TrendSearch, replace?: boolean) => void;
}

function TrendView({ pens, search, byKey, go }: ViewProps) {
  const { t, i18n } = useTranslation();
  const { ref, width, height } = useElementSize();
  const [cursor, setCursor] = useState<number | null>(null);
  const [asTable, setAsTable] = useState(false);
  const { from, to } = search;
  const win = search.win ?? '15m';
  const fixed = useMemo(() => (from !== undefined && to !== undefined ? { from, to } : null), [from, to]);
  const maxPoints = Math.max(200, Math.ceil((width || 1000) / 100) * 100);
  const trend = useTrend({ pens, fixed, windowMs: windowMs(win), maxPoints });
  const shown = pens.map((label) => ({ label, unit: byKey.get(label)?.target_unit ?? byKey.get(label)?.unit ?? '' }));
  const show = (next: Omit<TrendSearch, 'pens'>) => go({ pens: search.pens, ...next });
  const { range } = trend;
  const zoomOut = () => {
    const grow = (range.to - range.from) / 2;
    show({ from: Math.round(range.from - grow), to: Math.round(range.to + grow) });
  };
  return (
    <>
      <div className={classes['toolbar']}>
        <SegmentedControl
          aria-label={t('trend.window')}
          value={fixed ? '' : win}
          onChange={(v) => show({ win: v as Window })}
          data={WINDOWS.map((value) => ({ value, label: t(`trend.windows.${value}`) }))}
        />
        <Button variant="default" leftSection={<IconZoomOut size={16} />} onClick={zoomOut}>
          {t('trend.zoom_out')}
        </Button>
        {fixed && (
          <Button leftSection={<IconPlayerPlay size={16} />} onClick={() => show({ win: search.win })}>
            {t('trend.follow')}
          </Button>
        )}
        <span className="nx-muted" data-testid="trend-range">
          {fixed
            ? `${formatDateTime(fixed.from, i18n.language)} – ${formatDateTime(fixed.to, i18n.language)}`
            : t('trend.following')}
        </span>
        <div className={classes['grow']} />
        <Switch label={t('trend.as_table')} checked={asTable} onChange={(e) => setAsTable(e.currentTarget.checked)} />
      </div>
      {trend.error !== null && <ProblemPanel error={trend.error} onRetry={trend.refetch} />}
      <SeriesErrors trend={trend} />
      <div className={own['view']}>
        <div ref={ref} className={own['chart']}>
          {asTable ? (
            <TrendTable pens={shown} columns={trend.columns} />
          ) : (
            height > 80 && (
              <TrendChart
                pens={shown}
                columns={trend.columns}
                from={range.from}
                to={range.to}
                height={height}
                label={t('trend.chart_of', { pens: pens.join(', ') })}
                onZoom={(a, b) => show({ from: a, to: b })}
                onCursor={setCursor}
              />
            )
          )}
        </div>
        <Legend
          pens={shown}
          tags={byKey}
          trend={trend}
          cursor={cursor}
          onRemove={(pen) => go({ ...search, pens: pens.filter((p) => p !== pen).join(',') || undefined }, true)}
        />
      </div>
    </>
  );
}

/** Pens that could not be read, with the reason the core gives. */
function SeriesErrors({ trend }: { trend: TrendData }) {
  const failed = trend.history?.series.filter((s) => s.error) ?? [];
  if (failed.length === 0) return null;
  return (
    <ul className={own['errors']} role="alert">
      {failed.map((s) => (
        <li key={s.tag}>
          <span className="nx-mono">{s.tag}</span>: {s.error}
        </li>
      ))}
    </ul>
  );
}

interface LegendProps {
  pens: { label: string; unit: string }[];
  tags: Map<string, Tag>;
  trend: TrendData;
  cursor: number | null;
  onRemove: (pen: string) => void;
}

function Legend({ pens, tags, trend, cursor, onRemove }: LegendProps) {
  const { t, i18n } = useTranslation();
  const bucket = trend.history?.series[0]?.bucket_ms;
  const raw = trend.columns.reduce((n, c) => n + c.rawCount, 0);
  return (
    <div className={own['legend']}>
      <ul aria-label={t('trend.pens')}>
        {pens.map(({ label, unit }, i) => {
          const tag = tags.get(label);
          const column = trend.columns[i];
          const at = cursor === null || !column ? null : valueAt(column, cursor);
          return (
            <li key={label}>
              <span className={own['swatch']} style={{ background: penColor(i) }} aria-hidden />
              <span className={own['pen']} title={tag?.name}>
                {label}
              </span>
              <span className="nx-mono">
                {cursor !== null
                  ? at === null
                    ? '–'
                    : `${formatNumber(at, i18n.language)} ${unit}`
                  : tag && <LiveValue tag={tag} />}
              </span>
              <ActionIcon
                variant="subtle"
                color="gray"
                size={24}
                onClick={() => onRemove(label)}
                aria-label={t('trend.remove', { pen: label })}
              >
                <IconX size={14} />
              </ActionIcon>
            </li>
          );
        })}
      </ul>
      <div className="nx-muted">
        {cursor === null ? t('trend.counted', { count: raw }) : formatDateTime(cursor, i18n.language)}
        {cursor === null && bucket !== undefined && bucket > 0 && ` · ${t('trend.bucket', { ms: Math.round(bucket) })}`}
      </div>
    </div>
  );
}
