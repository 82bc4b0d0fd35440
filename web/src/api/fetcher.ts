// One way to the core: adds the CSRF token, turns every failure into a Problem.
import type { Problem } from './gen/model';
import { isProblem, problemFromNetwork, problemFromResponse, ProblemError } from './problem';

let csrfToken = '';
let onUnauthenticated: () => void = () => undefined;

export function setCsrfToken(token: string | undefined): void {
  csrfToken = token ?? '';
}

/** Called when the core answers 401 to a request that needs a session. */
export function onSessionLost(callback: () => void): void {
  onUnauthenticated = callback;
}

const isChange = (method: string | undefined) => method !== undefined && !['GET', 'HEAD'].includes(method);

async function bodyOf(response: Response): Promise<unknown> {
  if (response.status === 204) return undefined;
  const type = response.headers.get('content-type') ?? '';
  const text = await response.text();
  if (!type.includes('json')) return text;
  return text === '' ? undefined : JSON.parse(text);
}

async function problemOf(response: Response): Promise<Problem> {
  const body = await bodyOf(response).catch(() => undefined);
  return isProblem(body) ? body : problemFromResponse(response);
}

export async function fetcher<T>(url: string, init: RequestInit): Promise<T> {
  const headers = new Headers(init.headers);
  headers.set('Accept', 'application/json, application/problem+json');
  if (isChange(init.method) && csrfToken !== '') headers.set('X-CSRF-Token', csrfToken);
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers, credentials: 'same-origin' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ProblemError(problemFromNetwork(url, error));
  }
  if (!response.ok) {
    const problem = await problemOf(response);
    if (response.status === 401 && !url.includes('/auth/')) onUnauthenticated();
    throw new ProblemError(problem);
  }
  return (await bodyOf(response)) as T;
}
