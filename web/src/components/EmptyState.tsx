// A page without content: what it is for, why it is empty, and the next step.
import { Stack, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';
import classes from './EmptyState.module.css';

interface Props {
  icon: ReactNode;
  title: string;
  text: string;
  action?: ReactNode;
  /** 3: within a part of a page. */
  order?: 1 | 2 | 3;
}

export function EmptyState({ icon, title, text, action, order = 2 }: Props) {
  return (
    <Stack className={classes['empty']} data-part={order === 3 || undefined} align="center" gap="xs">
      <span className={classes['icon']} aria-hidden>
        {icon}
      </span>
      <Title order={order}>{title}</Title>
      <Text className="nx-muted" maw={480} ta="center">
        {text}
      </Text>
      {action}
    </Stack>
  );
}
