// The frame around every page after login: header with link state, rail with the sections, content.
import { ActionIcon, Button, Menu, SegmentedControl, useMantineColorScheme } from '@mantine/core';
import {
  IconChartLine,
  IconHeartbeat,
  IconLogout,
  IconServer2,
  IconSettings,
  IconTags,
  IconUser,
} from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate } from '@tanstack/react-router';
import { useSyncExternalStore } from 'react';
import { useTranslation } from 'react-i18next';
import type { Permission } from '../api/gen/model';
import { meQuery } from '../api/queries';
import { toProblem } from '../api/problem';
import { LinkState } from '../components/LinkState';
import { LANGUAGES, type Language, setLanguage } from '../i18n/i18n';
import { formatClock } from './format';
import { notifyProblem } from './notify';
import { leave } from './session';
import classes from './Shell.module.css';

interface Item {
  to: '/trends' | '/devices' | '/tags' | '/system';
  label: string;
  Icon: typeof IconTags;
  /** Hidden from those who may not. */
  permission?: Permission;
}

const sections: { group: string; items: Item[] }[] = [
  { group: 'nav.operate', items: [{ to: '/trends', label: 'nav.trends', Icon: IconChartLine }] },
  {
    group: 'nav.connect',
    items: [
      { to: '/devices', label: 'nav.devices', Icon: IconServer2 },
      { to: '/tags', label: 'nav.tags', Icon: IconTags },
    ],
  },
  {
    group: 'nav.platform',
    items: [{ to: '/system', label: 'nav.system', Icon: IconHeartbeat, permission: 'system.read' }],
  },
];

export function Shell() {
  const { t } = useTranslation();
  return (
    <div className={classes['shell']}>
      <a href="#main" className={classes['skip']}>
        {t('nav.skip')}
      </a>
      <header className={classes['header']}>
        <Link to="/" className={classes['brand']} aria-label="NEXUS Edge">
          <img src="/favicon.svg" width={22} height={22} alt="" />
          <span>NEXUS Edge</span>
        </Link>
        <div className={classes['grow']} />
        <LinkState />
        <Clock />
        <AppearanceMenu />
        <UserMenu />
      </header>
      <nav className={classes['rail']} aria-label={t('nav.label')}>
        <Sections />
      </nav>
      <main id="main" className={classes['main']} tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}

function Sections() {
  const { t } = useTranslation();
  const permissions = useQuery(meQuery).data?.permissions ?? [];
  const mayOpen = ({ permission }: Item) => permission === undefined || permissions.includes(permission);
  const open = sections.map((s) => ({ ...s, items: s.items.filter(mayOpen) })).filter((s) => s.items.length > 0);
  return open.map(({ group, items }) => (
    <div key={group}>
      <div className={classes['group']}>{t(group)}</div>
      {items.map(({ to, label, Icon }) => (
        <Link
          key={to}
          to={to}
          className={classes['item']}
          activeProps={{ className: classes['active'] }}
          activeOptions={{ includeSearch: false }}
          aria-label={t(label)}
        >
          <Icon size={18} stroke={1.6} aria-hidden />
          <span className={classes['text']}>{t(label)}</span>
        </Link>
      ))}
    </div>
  ));
}

const everySecond = (listener: () => void) => {
  const timer = setInterval(listener, 1000);
  return () => clearInterval(timer);
};

function Clock() {
  const now = useSyncExternalStore(everySecond, () => formatClock(Date.now()));
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return (
    <span className={`${classes['clock']} nx-muted`}>
      {now} <small>{zone}</small>
    </span>
  );
}

function AppearanceMenu() {
  const { t, i18n } = useTranslation();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Menu position="bottom-end" closeOnItemClick={false} width={260} trapFocus>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size={32} aria-label={t('appearance.label')}>
          <IconSettings size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown p="sm">
        <div className={classes['group']}>{t('appearance.theme')}</div>
        <SegmentedControl
          fullWidth
          aria-label={t('appearance.theme')}
          value={colorScheme}
          onChange={(v) => setColorScheme(v as 'auto' | 'light' | 'dark')}
          data={(['auto', 'light', 'dark'] as const).map((v) => ({ value: v, label: t(`appearance.${v}`) }))}
        />
        <div className={classes['group']}>{t('appearance.language')}</div>
        <SegmentedControl
          fullWidth
          aria-label={t('appearance.language')}
          value={i18n.language}
          onChange={(v) => void setLanguage(v as Language)}
          data={Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))}
        />
      </Menu.Dropdown>
    </Menu>
  );
}

function UserMenu() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const navigate = useNavigate();
  const user = useQuery(meQuery).data?.user;
  const logOut = async () => {
    try {
      await leave(client);
      await navigate({ to: '/login' });
    } catch (error) {
      notifyProblem(toProblem(error));
    }
  };
  return (
    <Menu position="bottom-end" width={200}>
      <Menu.Target>
        <Button variant="subtle" color="gray" size="compact-md" leftSection={<IconUser size={16} />}>
          {user?.username ?? ''}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{user ? t(`role.${user.role}`) : ''}</Menu.Label>
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => void logOut()}>
          {t('auth.log_out')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
