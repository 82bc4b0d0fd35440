// RFC 9457 problems: the one shape in which the UI knows an error, whoever found it.
import type { FieldError, Problem } from './gen/model';

export class ProblemError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail ?? problem.title);
    this.name = 'ProblemError';
    this.problem = problem;
  }
}

export function isProblem(x: unknown): x is Problem {
  return typeof x === 'object' && x !== null && 'title' in x && 'status' in x && 'code' in x;
}

/** The core could not be reached at all. The text is found by the code in the language files. */
export function problemFromNetwork(url: string, error: unknown): Problem {
  return {
    type: 'about:blank',
    title: 'The server cannot be reached',
    status: 599,
    code: 'ui_unreachable',
    instance: url,
    cause: { layer: 'tcp', peer: location.host, os_error: error instanceof Error ? error.message : String(error) },
  };
}

/** Something between us and the core has answered, or the core without a problem body. */
export function problemFromResponse(response: Response): Problem {
  return {
    type: 'about:blank',
    title: `HTTP ${response.status} ${response.statusText}`,
    status: response.status,
    code: 'ui_no_problem_body',
    instance: response.url,
  };
}

/** Any thrown thing as a problem; a fault of our own program keeps its message. */
export function toProblem(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  const detail = error instanceof Error ? error.message : String(error);
  return { type: 'about:blank', title: 'The page has failed', status: 500, code: 'ui_fault', detail };
}

/** Errors by field name: `/connection/port` becomes `connection.port`. */
export function fieldErrors(problem: Problem): Record<string, FieldError> {
  const out: Record<string, FieldError> = {};
  for (const e of problem.errors ?? []) out[e.pointer.replace(/^\//, '').replaceAll('/', '.')] ??= e;
  return out;
}

export const isCode = (error: unknown, code: string): boolean =>
  error instanceof ProblemError && error.problem.code === code;

export const isStatus = (error: unknown, status: number): boolean =>
  error instanceof ProblemError && error.problem.status === status;
