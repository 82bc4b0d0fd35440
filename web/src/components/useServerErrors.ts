// Puts the field errors of a problem beside the fields they belong to.
import { type FieldValues, get, type Path, type UseFormReturn } from 'react-hook-form';
import { ProblemError } from '../api/problem';

/** True when every field error found its field, so that the panel above need not repeat them. */
export function markFields<F extends FieldValues>(
  form: UseFormReturn<F>,
  error: unknown,
  fieldOf: (pointer: string) => string,
): boolean {
  if (!(error instanceof ProblemError)) return false;
  const errors = error.problem.errors ?? [];
  let found = 0;
  for (const e of errors) {
    const name = fieldOf(e.pointer);
    if (get(form.getValues(), name) === undefined) continue;
    const message = e.suggestion ? `${e.detail} (${e.suggestion})` : e.detail;
    form.setError(name as Path<F>, { type: 'server', message }, { shouldFocus: found === 0 });
    found += 1;
  }
  return found > 0 && found === errors.length;
}
