// "Test connection": each step with its result, before anything is saved.
import { Button, Loader, Text, Title } from '@mantine/core';
import { IconCheck, IconMinus, IconPlugConnected, IconX } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { TestResult, TestStep } from '../../api/gen/model';
import { formatMs } from '../../app/format';
import { ProblemPanel } from '../../components/ProblemPanel';
import classes from './TestPanel.module.css';

interface Props {
  /** Answers null when there is nothing valid to test. */
  run: () => Promise<TestResult | null>;
  hint: string;
  /** Inside a dialog, which has the title and the frame already. */
  isBare?: boolean;
}

export function TestPanel({ run, hint, isBare = false }: Props) {
  const { t } = useTranslation();
  const test = useMutation({ mutationFn: run });
  return (
    <section className={isBare ? undefined : classes['panel']} aria-label={t('test.label')}>
      <div className={classes['head']}>
        {isBare ? <span /> : <Title order={2}>{t('test.label')}</Title>}
        <Button
          variant="default"
          leftSection={<IconPlugConnected size={16} />}
          loading={test.isPending}
          onClick={() => test.mutate()}
        >
          {t('test.action')}
        </Button>
      </div>
      <div aria-live="polite">
        {test.isIdle && <Text className="nx-muted">{hint}</Text>}
        {test.isPending && (
          <Text className="nx-muted">
            <Loader size={14} mr={8} />
            {t('test.running')}
          </Text>
        )}
        {test.error && <ProblemPanel error={test.error} />}
        {test.data && <Steps result={test.data} />}
      </div>
    </section>
  );
}

function Steps({ result }: { result: TestResult }) {
  const { t } = useTranslation();
  return (
    <>
      <ol className={classes['steps']}>
        {result.steps.map((step) => (
          <Step key={step.name} step={step} />
        ))}
      </ol>
      <Text fw={600} className={result.ok ? undefined : classes['failed']}>
        {result.ok ? t('test.ok') : t('test.failed')}{' '}
        {result.elapsed_ms !== undefined && (
          <Text span fw={400} className="nx-muted">
            {formatMs(result.elapsed_ms)}
          </Text>
        )}
      </Text>
    </>
  );
}

function Step({ step }: { step: TestStep }) {
  const { t } = useTranslation();
  const outcome = step.skipped ? 'skipped' : step.ok ? 'ok' : 'failed';
  const Icon = { ok: IconCheck, failed: IconX, skipped: IconMinus }[outcome];
  return (
    <li className={classes['step']} data-outcome={outcome}>
      <Icon size={18} aria-label={t(`test.${outcome === 'ok' ? 'passed' : outcome}`)} />
      <div className={classes['text']}>
        <div className={classes['name']}>
          <span>{t(`test.step.${step.name}`, { defaultValue: step.name })}</span>
          <span className="nx-muted">{step.skipped ? t('test.skipped') : formatMs(step.elapsed_ms)}</span>
        </div>
        {step.detail && <div className={classes['detail']}>{step.detail}</div>}
        {step.fix && (
          <div className={classes['fix']}>
            <strong>{t('problem.what_helps')}:</strong> {step.fix}
          </div>
        )}
      </div>
    </li>
  );
}
