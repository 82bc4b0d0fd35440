// The pages and their addresses. Everything behind the shell needs a session; pages load their code when first opened.
import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from '@tanstack/react-router';
import { authStateQuery } from '../api/queries';
import { LoginPage } from '../features/auth/LoginPage';
import { SetupPage } from '../features/auth/SetupPage';
import { parseTrendSearch } from '../features/trends/search';
import { NotFoundPage, FaultPage } from './FaultPage';
import { loadMe } from './session';
import { Shell } from './Shell';

interface Context {
  queryClient: QueryClient;
}

const text = (x: unknown): string | undefined => (typeof x === 'string' && x !== '' ? x : undefined);

const rootRoute = createRootRouteWithContext<Context>()({
  component: Outlet,
  errorComponent: FaultPage,
  notFoundComponent: NotFoundPage,
});

const setupRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/setup',
  loader: async ({ context }) => {
    const state = await context.queryClient.fetchQuery(authStateQuery);
    if (!state.setup_required) throw redirect({ to: '/login' });
    return state;
  },
  component: SetupPage,
});

const loginRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/login',
  validateSearch: (s: Record<string, unknown>): { from?: string } => ({ from: text(s['from']) }),
  loader: async ({ context }) => {
    const state = await context.queryClient.fetchQuery(authStateQuery);
    if (state.setup_required) throw redirect({ to: '/setup' });
    return state;
  },
  component: LoginPage,
});

const shellRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: 'shell',
  beforeLoad: async ({ context, location }) => {
    const me = await loadMe(context.queryClient);
    if (!me) throw redirect({ to: '/login', search: location.href === '/' ? {} : { from: location.href } });
  },
  component: Shell,
});

const indexRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/devices' });
  },
});

const devicesRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: '/devices',
  validateSearch: (s: Record<string, unknown>): { q?: string } => ({ q: text(s['q']) }),
  component: lazyRouteComponent(() => import('../features/devices/DevicesPage'), 'DevicesPage'),
});

const newDeviceRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: '/devices/new',
  component: lazyRouteComponent(() => import('../features/devices/DeviceFormPage'), 'NewDevicePage'),
});

const deviceRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: '/devices/$deviceId',
  validateSearch: (s: Record<string, unknown>): { q?: string; tag?: string; view?: 'plan' } => ({
    q: text(s['q']),
    tag: text(s['tag']),
    view: s['view'] === 'plan' ? 'plan' : undefined,
  }),
  component: lazyRouteComponent(() => import('../features/devices/DevicePage'), 'DevicePage'),
});

const editDeviceRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: '/devices/$deviceId/edit',
  component: lazyRouteComponent(() => import('../features/devices/DeviceFormPage'), 'EditDevicePage'),
});

const tagsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: '/tags',
  validateSearch: (s: Record<string, unknown>): { q?: string; tag?: string } => ({
    q: text(s['q']),
    tag: text(s['tag']),
  }),
  component: lazyRouteComponent(() => import('../features/tags/TagsPage'), 'TagsPage'),
});

const trendsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: '/trends',
  validateSearch: parseTrendSearch,
  component: lazyRouteComponent(() => import('../features/trends/TrendsPage'), 'TrendsPage'),
});

const systemRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: '/system',
  component: lazyRouteComponent(() => import('../features/system/SystemPage'), 'SystemPage'),
});

const routeTree = rootRoute.addChildren([
  setupRoute,
  loginRoute,
  shellRoute.addChildren([
    indexRoute,
    devicesRoute,
    newDeviceRoute,
    deviceRoute,
    editDeviceRoute,
    tagsRoute,
    trendsRoute,
    systemRoute,
  ]),
]);

export function createAppRouter(queryClient: QueryClient) {
  return createRouter({ routeTree, context: { queryClient }, defaultPreload: 'intent', scrollRestoration: false });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
