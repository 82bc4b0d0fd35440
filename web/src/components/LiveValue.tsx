// A live value with its unit, quality and age. A good fresh value is plain; anything else says so.
import { IconClockPause } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import type { Tag } from '../api/gen/model';
import { formatAge, formatDateTime, formatScalar, qualityKind, qualityReason, tagKey } from '../app/format';
import { useServerNow } from '../live/clock';
import { useDeviceStatus, useLinkState, useLiveValue } from '../live/live';
import type { LiveValue as Value } from '../live/store';
import classes from './LiveValue.module.css';

/** The live value, or the one that came with the list as long as no newer is known. */
export function useTagValue(tag: Tag): Value | undefined {
  const live = useLiveValue(tagKey(tag));
  if (live || tag.quality === null || tag.timestamp === null) return live;
  return { t: Date.parse(tag.timestamp), value: tag.value ?? null, quality: tag.quality };
}

/** Shown although it may be out of date: the page or the device has lost its connection. */
export function useIsStale(deviceId: string): boolean {
  const link = useLinkState();
  const state = useDeviceStatus(deviceId)?.state;
  return link.kind === 'offline' || (state !== undefined && state !== 'online');
}

export function LiveValue({ tag, size = 'cell' }: { tag: Tag; size?: 'cell' | 'big' }) {
  const { t, i18n } = useTranslation();
  const value = useTagValue(tag);
  const isStale = useIsStale(tag.device_id);
  const kind = qualityKind(value?.quality);
  const enumText = typeof value?.value === 'number' ? tag.enum?.[String(value.value)] : undefined;
  const text = enumText ?? formatScalar(value?.value, i18n.language, { on: t('value.on'), off: t('value.off') });
  const unit = tag.target_unit ?? tag.unit;
  return (
    <span className={classes['value']} data-quality={kind} data-stale={isStale || undefined} data-size={size}>
      {isStale && value && <IconClockPause size={14} className={classes['clock']} aria-label={t('value.stale')} />}
      <span className={classes['number']}>{text}</span>
      <span className={classes['unit']}>{unit}</span>
    </span>
  );
}

export function QualityMark({ tag }: { tag: Tag }) {
  const { t } = useTranslation();
  const value = useTagValue(tag);
  const kind = qualityKind(value?.quality);
  if (!value || kind === 'none') return <span className="nx-muted">{t('quality.none')}</span>;
  const word = kind === 'bad' ? t(`quality.reason.${qualityReason(value.quality)}`) : t(`quality.${kind}`);
  return (
    <span className={classes['quality']} data-quality={kind} title={t('quality.opc', { number: value.quality })}>
      {kind === 'uncertain' ? '? ' : ''}
      {word}
    </span>
  );
}

export function AgeMark({ tag }: { tag: Tag }) {
  const { i18n } = useTranslation();
  const value = useTagValue(tag);
  const now = useServerNow();
  if (!value) return <span className="nx-muted">–</span>;
  return (
    <span className={classes['age']} title={formatDateTime(value.t, i18n.language)}>
      {formatAge(now - value.t)}
    </span>
  );
}
