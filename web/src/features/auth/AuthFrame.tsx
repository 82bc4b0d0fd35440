// The page around set-up and login.
import { Paper, Text, Title } from '@mantine/core';
import { type ReactNode, useEffect } from 'react';
import classes from './AuthFrame.module.css';

interface Props {
  title: string;
  text: ReactNode;
  version: string;
  children: ReactNode;
}

export function AuthFrame({ title, text, version, children }: Props) {
  useEffect(() => {
    document.title = `${title} · NEXUS Edge`;
  }, [title]);
  return (
    <main className={classes['frame']}>
      <div className={classes['brand']}>
        <img src="/favicon.svg" width={28} height={28} alt="" />
        <span>NEXUS Edge</span>
      </div>
      <Paper withBorder p="lg" className={classes['card']}>
        <Title order={1}>{title}</Title>
        <Text className="nx-muted" mt={4} mb="md" component="div">
          {text}
        </Text>
        {children}
      </Paper>
      <Text fz="xs" className="nx-muted" mt="sm">
        {version}
      </Text>
    </main>
  );
}
