// Header part: is what I see live? Live, Delayed by how much, or Offline since when.
import { Tooltip } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { formatClock, formatMs } from '../app/format';
import { useLinkState } from '../live/live';
import classes from './LinkState.module.css';

export function LinkState() {
  const { t } = useTranslation();
  const link = useLinkState();
  if (link.kind === 'idle') return null;
  const text =
    link.kind === 'offline'
      ? t('link.offline', { time: formatClock(link.since) })
      : link.kind === 'delayed'
        ? t('link.delayed', { delay: formatMs(link.delayMs) })
        : t(`link.${link.kind}`);
  return (
    <Tooltip label={t(`link.help_${link.kind}`)} multiline w={280}>
      <span className={classes['link']} data-kind={link.kind} role="status" aria-label={t('link.label')}>
        <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden>
          {link.kind === 'offline' ? (
            <path d="M2 2l8 8M10 2l-8 8" stroke="currentColor" strokeWidth="2" />
          ) : (
            <circle
              cx="6"
              cy="6"
              r="4"
              fill={link.kind === 'live' ? 'currentColor' : 'none'}
              stroke="currentColor"
              strokeWidth="1.5"
            />
          )}
        </svg>
        {text}
      </span>
    </Tooltip>
  );
}
