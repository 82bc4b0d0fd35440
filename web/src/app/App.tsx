// Providers, and what happens when the session or the live link is lost.
import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { onSessionLost } from '../api/fetcher';
import { getMe } from '../api/gen/client';
import { isStatus, ProblemError, toProblem } from '../api/problem';
import { onLiveTrouble } from '../live/live';
import { cspNonce } from '../theme/nonce';
import { cssVariables, theme } from '../theme/theme';
import { notifyProblem } from './notify';
import { createAppRouter } from './router';
import { forget } from './session';

/** Only what may heal by itself is asked again. */
const mayHeal = (error: unknown) => error instanceof ProblemError && error.problem.status >= 502;

const queryClient = new QueryClient({
  defaultOptions: {
    queries: { staleTime: 10_000, retry: (count, error) => count < 2 && mayHeal(error), networkMode: 'always' },
    mutations: { networkMode: 'always' },
  },
});
const router = createAppRouter(queryClient);

function toLogin(): void {
  const from = router.state.location;
  if (from.pathname === '/login' || from.pathname === '/setup') return;
  forget(queryClient);
  void router.navigate({ to: '/login', search: { from: from.href } });
}

onSessionLost(toLogin);
onLiveTrouble({
  // A browser is not told why a WebSocket was refused; the session endpoint tells.
  refused: () => void getMe().catch((error: unknown) => isStatus(error, 401) && toLogin()),
  problem: (problem) => notifyProblem(toProblem(new ProblemError(problem))),
});

export function App() {
  return (
    <MantineProvider
      theme={theme}
      cssVariablesResolver={cssVariables}
      defaultColorScheme="auto"
      getStyleNonce={cspNonce}
    >
      <QueryClientProvider client={queryClient}>
        <Notifications position="bottom-right" limit={3} />
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  );
}
