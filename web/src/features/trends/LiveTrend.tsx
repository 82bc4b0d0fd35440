// A small trend that follows the present, for inspectors.
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { ProblemPanel } from '../../components/ProblemPanel';
import { type Window, windowMs } from './search';
import { TrendChart } from './TrendChart';
import { useTrend } from './useTrend';

interface Props {
  pens: string[];
  win: Window;
  height: number;
}

export function LiveTrend({ pens, win, height }: Props) {
  const { t } = useTranslation();
  const trend = useTrend({ pens, fixed: null, windowMs: windowMs(win), maxPoints: 400 });
  const key = pens.join(',');
  const shown = useMemo(() => key.split(',').map((label) => ({ label, unit: '' })), [key]);
  if (trend.error) return <ProblemPanel error={trend.error} onRetry={trend.refetch} />;
  return (
    <TrendChart
      pens={shown}
      columns={trend.columns}
      from={trend.range.from}
      to={trend.range.to}
      height={height}
      label={t('trend.chart_of', { pens: key })}
    />
  );
}
