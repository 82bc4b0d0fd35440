// Device state after NAMUR NE 107: outlined shape + letter + colour; a healthy device carries a small grey tick only.
import { useTranslation } from 'react-i18next';
import type { DeviceStatusState } from '../api/gen/model';
import classes from './Ne107Mark.module.css';

type Signal = 'F' | 'C' | 'S' | 'M' | 'ok' | 'off';

const signals: Record<DeviceStatusState, Signal> = {
  online: 'ok',
  offline: 'F',
  error: 'F',
  connecting: 'C',
  unknown: 'C',
  disabled: 'off',
};

const shapes: Record<Signal, string> = {
  F: 'M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13z',
  C: 'M8 1.8L15 14H1z',
  S: 'M8 1.8L15 14H1z',
  M: 'M2 2h12v12H2z',
  ok: 'M3.5 8.5l3 3 6-7',
  off: 'M4 8h8',
};

export const stateSignal = (state: DeviceStatusState): Signal => signals[state];

export function Ne107Mark({ state }: { state: DeviceStatusState }) {
  const { t } = useTranslation();
  const signal = signals[state];
  const letter = signal.length === 1 ? signal : '';
  return (
    <span className={classes['mark']} data-signal={signal}>
      <svg viewBox="0 0 16 16" width="18" height="18" aria-hidden>
        <path d={shapes[signal]} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" />
        {letter && (
          <text
            x="8"
            y={signal === 'C' || signal === 'S' ? 12.6 : 11}
            textAnchor="middle"
            fontSize="8.5"
            fontWeight="700"
          >
            {letter}
          </text>
        )}
      </svg>
      {t(`device.state.${state}`)}
    </span>
  );
}
