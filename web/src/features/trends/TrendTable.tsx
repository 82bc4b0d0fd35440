// The trend as numbers: the same data for screen readers, and for those who want to read it off.
import { useTranslation } from 'react-i18next';
import { formatDateTime, formatNumber } from '../../app/format';
import type { Pen } from './TrendChart';
import { type PenColumns, valueAt } from './trendData';
import classes from './TrendsPage.module.css';

const MAX_ROWS = 200;

export function TrendTable({ pens, columns }: { pens: Pen[]; columns: PenColumns[] }) {
  const { t, i18n } = useTranslation();
  const times = [...new Set(columns.flatMap((c) => c.t))].toSorted((a, b) => b - a).slice(0, MAX_ROWS);
  return (
    <div className={classes['table']} tabIndex={0} role="region" aria-label={t('trend.as_table')}>
      <table>
        <caption className="nx-visually-hidden">{t('trend.table_caption', { count: MAX_ROWS })}</caption>
        <thead>
          <tr>
            <th scope="col">{t('trend.time')}</th>
            {pens.map((pen) => (
              <th key={pen.label} scope="col">
                {pen.label} {pen.unit && `(${pen.unit})`}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {times.map((time) => (
            <tr key={time}>
              <td>{formatDateTime(time, i18n.language)}</td>
              {columns.map((column, i) => {
                const value = valueAt(column, time);
                return <td key={pens[i]?.label}>{value === null ? '–' : formatNumber(value, i18n.language)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
