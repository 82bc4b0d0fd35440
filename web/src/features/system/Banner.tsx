// One sentence that says how it is, with its mark: grey when all is well.
import { IconAlertTriangle, IconCheck, IconInfoCircle, IconX } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import classes from './SystemPage.module.css';

export type Level = 'good' | 'note' | 'warn' | 'bad';

const icons = { good: IconCheck, note: IconInfoCircle, warn: IconAlertTriangle, bad: IconX };

interface Props {
  level: Level;
  title: string;
  /** Heard when it changes. */
  isLive?: boolean;
  children?: ReactNode;
}

export function Banner({ level, title, isLive = false, children }: Props) {
  const Icon = icons[level];
  return (
    <div className={classes['banner']} data-level={level}>
      <Icon size={22} aria-hidden className={classes['mark']} />
      <div>
        <p className={classes['verdict']} role={isLive ? 'status' : undefined}>
          {title}
        </p>
        {children}
      </div>
    </div>
  );
}
