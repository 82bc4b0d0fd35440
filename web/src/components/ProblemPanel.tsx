// An error as the reader needs it: what happened, where, why, and what to do about it.
import { ActionIcon, Button, Group, Text, Tooltip } from '@mantine/core';
import { IconAlertTriangle, IconCheck, IconCopy } from '@tabler/icons-react';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { Problem } from '../api/gen/model';
import { toProblem } from '../api/problem';
import { formatMs } from '../app/format';
import classes from './ProblemPanel.module.css';

interface Props {
  error: unknown;
  onRetry?: () => void;
  /** Field errors stand beside their fields in a form; then they are not listed here. */
  hideFields?: boolean;
}

export function ProblemPanel({ error, onRetry, hideFields = false }: Props) {
  const { t } = useTranslation();
  const problem = toProblem(error);
  const own = problem.code.startsWith('ui_');
  const detail = own && !problem.detail ? t(`problem.codes.${problem.code}.detail`) : problem.detail;
  const fixes = own ? [t(`problem.codes.${problem.code}.fix`)] : (problem.fixes ?? []);
  return (
    <section className={classes['panel']} role="alert" aria-label={t('problem.label')}>
      <IconAlertTriangle className={classes['icon']} size={20} aria-hidden />
      <div className={classes['body']}>
        <Text fw={600} fz="md">
          {t(`problem.codes.${problem.code}.title`, { defaultValue: problem.title })}
        </Text>
        {detail && <p className={classes['detail']}>{detail}</p>}
        {!hideFields && <FieldList problem={problem} />}
        {fixes.length > 0 && (
          <>
            <Text fz="xs" fw={600} mt={6}>
              {t('problem.what_helps')}
            </Text>
            <ul className={classes['fixes']}>
              {fixes.map((fix) => (
                <li key={fix}>{fix}</li>
              ))}
            </ul>
          </>
        )}
        <Footer problem={problem} />
        {onRetry && (
          <Button variant="default" size="xs" mt="xs" onClick={onRetry}>
            {t('action.reload')}
          </Button>
        )}
      </div>
    </section>
  );
}

function FieldList({ problem }: { problem: Problem }) {
  if (!problem.errors?.length) return null;
  return (
    <ul className={classes['fixes']}>
      {problem.errors.map((e) => (
        <li key={e.pointer + e.code}>
          <code>{e.pointer}</code>: {e.detail} {e.suggestion && <em>({e.suggestion})</em>}
        </li>
      ))}
    </ul>
  );
}

/** Place, code and trace id: what support asks for, with a button that copies all of it. */
function Footer({ problem }: { problem: Problem }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  const { cause } = problem;
  const parts = [
    cause && t(`problem.layer.${cause.layer}`),
    cause?.peer,
    cause?.step,
    cause?.os_error,
    cause?.elapsed_ms === undefined ? undefined : formatMs(cause.elapsed_ms),
    problem.code,
    problem.trace_id && t('problem.trace', { id: problem.trace_id }),
  ].filter(Boolean);
  const copy = () =>
    navigator.clipboard?.writeText(JSON.stringify(problem, null, 2)).then(
      () => setCopied(true),
      () => undefined,
    );
  return (
    <Group gap={6} mt={6} className={classes['footer']}>
      <span className="nx-mono">{parts.join(' · ')}</span>
      <Tooltip label={copied ? t('action.copied') : t('action.copy')}>
        <ActionIcon variant="subtle" color="gray" size={24} onClick={() => void copy()} aria-label={t('action.copy')}>
          {copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}
