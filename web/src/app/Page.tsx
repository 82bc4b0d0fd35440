// The frame of a page: title, what belongs to it on the right, content below.
import { Title } from '@mantine/core';
import { type ReactNode, useEffect } from 'react';
import classes from './Page.module.css';

interface Props {
  title: string;
  /** Beside the title, as a state. */
  aside?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  /** The page scrolls as a whole (forms) instead of filling the screen (tables). */
  scroll?: boolean;
}

export function Page({ title, aside, actions, children, scroll = false }: Props) {
  useEffect(() => {
    document.title = `${title} · NEXUS Edge`;
  }, [title]);
  return (
    <div className={scroll ? classes['scroll'] : classes['page']}>
      <div className={classes['toolbar']} style={scroll ? { marginBottom: 12 } : undefined}>
        <Title order={1}>{title}</Title>
        {aside}
        <div className={classes['grow']} />
        {actions}
      </div>
      {children}
    </div>
  );
}
