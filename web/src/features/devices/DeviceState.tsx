// Parts that show the live state of a device: from the socket once it is there, until then from the list.
import { useTranslation } from 'react-i18next';
import type { Device, DeviceStatus } from '../../api/gen/model';
import { formatAge, formatDateTime } from '../../app/format';
import { Ne107Mark } from '../../components/Ne107Mark';
import { useServerNow } from '../../live/clock';
import { useDeviceStatus } from '../../live/live';

export function useStatus(device: Device): DeviceStatus {
  const live = useDeviceStatus(device.id);
  return device.enabled ? (live ?? device.status) : { ...device.status, state: 'disabled' };
}

export const endpointOf = (device: Device): string => {
  const { host, port, slave_id, serial_port, unit_id = slave_id } = device.connection;
  const place = host ?? serial_port;
  if (place === undefined) return device.protocol;
  return `${place}${port === undefined ? '' : `:${port}`}${unit_id === undefined ? '' : ` · ${unit_id}`}`;
};

export function DeviceState({ device }: { device: Device }) {
  return <Ne107Mark state={useStatus(device).state} />;
}

export function DeviceLastSeen({ device }: { device: Device }) {
  const { t, i18n } = useTranslation();
  const { last_seen } = useStatus(device);
  const now = useServerNow();
  if (!last_seen) return <span className="nx-muted">{t('device.never')}</span>;
  const at = Date.parse(last_seen);
  return (
    <span className="nx-muted" title={formatDateTime(at, i18n.language)}>
      {formatAge(now - at)}
    </span>
  );
}

export function DeviceLastError({ device }: { device: Device }) {
  const { last_error, state } = useStatus(device);
  if (!last_error || state === 'online' || state === 'disabled') return null;
  return <span title={last_error}>{last_error}</span>;
}
