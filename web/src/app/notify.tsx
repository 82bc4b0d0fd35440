// Short messages at the edge of the screen; what needs reading stays in its place on the page instead.
import { notifications } from '@mantine/notifications';
import type { Problem } from '../api/gen/model';

export function notifyDone(message: string): void {
  notifications.show({ message, autoClose: 5000, withBorder: true });
}

export function notifyProblem(problem: Problem): void {
  notifications.show({
    id: `problem-${problem.code}`,
    title: problem.title,
    message: [problem.detail, ...(problem.fixes ?? [])].filter(Boolean).join(' '),
    color: 'red',
    autoClose: 12_000,
    withBorder: true,
  });
}
